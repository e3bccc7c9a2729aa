#include "text/jinja/jinja.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "conversation.hpp"

using mullama::jinja::RenderOptions;
using mullama::jinja::Template;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = Template::parse(source);
  if (!parsed) return 0;
  RenderOptions options;
  options.now = std::tm{};
  options.limits.steps = 200'000;
  options.limits.value_bytes = 4u << 20;
  options.limits.output_bytes = 1u << 20;
  (void)parsed->render(conversation(), options);
  options.mutable_values = true;
  (void)parsed->render(conversation(), options);
  return 0;
}
