#pragma once

#include <nlohmann/json.hpp>

/// A conversation with everything real templates look at.
inline const nlohmann::ordered_json& conversation() {
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
