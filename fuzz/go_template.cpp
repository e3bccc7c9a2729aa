// A template in Go's language, as a request brings it: translated, and what came of it rendered.

#include "text/chat/go_template.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "conversation.hpp"
#include "text/jinja/jinja.hpp"

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  (void)mullama::text::is_go_template(source);
  const auto translated = mullama::text::jinja_of_go_template(source);
  if (!translated) {
    require(!translated.error().message.empty(), "an error says what is wrong");
    return 0;
  }
  const auto parsed = mullama::jinja::Template::parse(*translated);
  if (!parsed) {
    std::fprintf(stderr, "%s\n%s\n", parsed.error().message.c_str(), translated->c_str());
    require(false, "what the translator writes is Jinja");
  }
  mullama::jinja::RenderOptions options;
  options.now = std::tm{};
  options.limits.steps = 200'000;
  options.limits.value_bytes = 4u << 20;
  options.limits.output_bytes = 1u << 20;
  (void)parsed->render(conversation(), options);
  return 0;
}
