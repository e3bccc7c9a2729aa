#include "text/jinja/jinja.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using mullama::jinja::RenderOptions;
using mullama::jinja::Template;

/// A conversation with everything real templates look at.
const nlohmann::ordered_json& conversation() {
  static const auto variables = nlohmann::ordered_json::parse(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "Wetter in Z\u00fcrich? \ud83e\udd99"}, {"type": "image"}]},
      {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
        {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": {"x": 1.5, "y": [true, null]}}}]},
      {"role": "tool", "tool_call_id": "call00001", "name": "f", "content": "{\"t\": 21}"},
      {"role": "assistant", "content": "<think>a</think>21 <b>&"}
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {
      "type": "object", "properties": {"x": {"type": ["number", "null"]}}, "required": ["x"]}}}],
    "documents": null, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
    "s": " A,b ", "i": 7, "n": -3, "f": 2.5, "l": [3, 1, "a", null], "d": {"a": {"b": 1}}
  })");
  return variables;
}

}  // namespace

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
