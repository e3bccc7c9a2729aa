#include "text/jinja/json.hpp"

#include <algorithm>
#include <cmath>

#include "text/jinja/repr.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

Value convert(Interpreter& interpreter, const nlohmann::ordered_json& json, size_t depth) {
  if (depth > kMaxNesting) raise(kRecursionError, "the variables nest deeper than {}", kMaxNesting);
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return Value(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      return number <= INT64_MAX ? Value(static_cast<int64_t>(number)) : Value(static_cast<double>(number));
    }
    case nlohmann::ordered_json::value_t::number_float:
      return Value(json.get<double>());
    case nlohmann::ordered_json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      return interpreter.text(is_valid_utf8(text) ? text : repair_utf8(text));
    }
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(interpreter, item, depth + 1));
      return interpreter.list(std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      auto dict = interpreter.heap().make<Dict>();
      for (const auto& [key, item] : json.items()) {
        dict->set(interpreter.text(is_valid_utf8(key) ? key : repair_utf8(key)),
                  convert(interpreter, item, depth + 1));
      }
      dict->recharge();
      return Value(std::move(dict));
    }
    default:
      return Value();
  }
}

class Writer {
 public:
  Writer(Interpreter& interpreter, const JsonFormat& format)
      : interpreter_(interpreter), out_(interpreter.heap()), format_(format) {}

  std::string run(const Value& value) {
    write(value);
    return out_.take();
  }

 private:
  void write(const Value& value) {
    if (!value.is_object()) return scalar(value);
    if (value.is_string()) return text(value.text());
    Object& object = value.object();
    if (std::find(open_.begin(), open_.end(), &object) != open_.end()) {
      raise(kValueError, "Circular reference detected");
    }
    if (open_.size() > kMaxNesting) {
      raise(kRecursionError, "maximum recursion depth exceeded while encoding a JSON object");
    }
    open_.push_back(&object);
    if (const auto* sequence = value.get<Sequence>()) {
      array(sequence->items);
    } else if (const auto* dict = value.get<Dict>()) {
      members(*dict);
    } else {
      raise(kTypeError, "Object of type {} is not JSON serializable", type_name(value));
    }
    open_.pop_back();
  }

  void scalar(const Value& value) {
    if (value.is_bool()) {
      out_.append(value.as_bool() ? "true" : "false");
    } else if (value.is_int()) {
      out_.append(fmt::format("{}", value.as_int()));
    } else if (value.is_float()) {
      out_.append(number(value.as_float()));
    } else {
      out_.append("null");
    }
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void new_line() {
    if (!format_.indent) return;
    out_.append('\n');
    for (size_t i = 0; i < level_; ++i) out_.append(*format_.indent);
  }

  void array(const std::vector<Value>& items) {
    if (items.empty()) return out_.append("[]");
    out_.append('[');
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(format_.item_separator);
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    out_.append(']');
  }

  void members(const Dict& dict) {
    if (dict.entries().empty()) return out_.append("{}");
    std::vector<const Dict::Entry*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (format_.sort_keys) {
      interpreter_.heap().work(entries.size() * 8);
      std::stable_sort(entries.begin(), entries.end(), [](const Dict::Entry* left, const Dict::Entry* right) {
        return ordered(left->first, Order::less, right->first);
      });
    }
    out_.append('{');
    ++level_;
    bool first = true;
    for (const auto* entry : entries) {
      if (!std::exchange(first, false)) out_.append(format_.item_separator);
      new_line();
      key(entry->first);
      out_.append(format_.key_separator);
      write(entry->second);
    }
    --level_;
    new_line();
    out_.append('}');
  }

  void key(const Value& name) {
    if (name.is_string()) return text(name.text());
    if (name.is_object()) {
      raise(kTypeError, "keys must be str, int, float, bool or None, not {}", type_name(name));
    }
    out_.append('"');
    scalar(name);
    out_.append('"');
  }

  void text(std::string_view characters) {
    std::string chunk(1, '"');
    for (size_t offset = 0; offset < characters.size();) {
      append_escaped(chunk, next_code_point(characters, offset));
      if (chunk.size() < kChunk) continue;
      out_.append(chunk);
      chunk.clear();
    }
    chunk.push_back('"');
    out_.append(chunk);
  }

  void append_escaped(std::string& chunk, char32_t code) const {
    static constexpr std::string_view kControls = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kLetters = "\"\\nrtfb";
    const size_t control = code < 0x80 ? kControls.find(static_cast<char>(code)) : std::string_view::npos;
    if (control != std::string_view::npos) {
      chunk.push_back('\\');
      chunk.push_back(kLetters[control]);
    } else if (code < 0x20 || (format_.ascii_only && code >= 0x7f && code <= 0xffff)) {
      chunk += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    } else if (format_.ascii_only && code > 0xffff) {
      const uint32_t rest = static_cast<uint32_t>(code) - 0x10000;
      chunk += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    } else {
      append_code_point(chunk, code);
    }
  }

  static constexpr size_t kChunk = 4096;

  Interpreter& interpreter_;
  TextBuilder out_;
  const JsonFormat& format_;
  size_t level_ = 0;
  std::vector<const Object*> open_;
};

}  // namespace

Value from_json(Interpreter& interpreter, const nlohmann::ordered_json& json) {
  return convert(interpreter, json, 0);
}

std::string to_json(Interpreter& interpreter, const Value& value, const JsonFormat& format) {
  return Writer(interpreter, format).run(value);
}

}  // namespace mullama::jinja
