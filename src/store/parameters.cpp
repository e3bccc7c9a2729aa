#include "store/parameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace mullama::store {

namespace {

using nlohmann::json;

enum class Kind : uint8_t { integer, number, boolean, texts };
struct Known {
  std::string_view name;
  Kind kind;
};
constexpr std::array kKnown{
    Known{"num_ctx", Kind::integer},
    Known{"num_batch", Kind::integer},
    Known{"num_gpu", Kind::integer},
    Known{"main_gpu", Kind::integer},
    Known{"num_thread", Kind::integer},
    Known{"num_keep", Kind::integer},
    Known{"num_predict", Kind::integer},
    Known{"seed", Kind::integer},
    Known{"top_k", Kind::integer},
    Known{"repeat_last_n", Kind::integer},
    Known{"mirostat", Kind::integer},
    Known{"temperature", Kind::number},
    Known{"top_p", Kind::number},
    Known{"min_p", Kind::number},
    Known{"typical_p", Kind::number},
    Known{"repeat_penalty", Kind::number},
    Known{"presence_penalty", Kind::number},
    Known{"frequency_penalty", Kind::number},
    Known{"mirostat_tau", Kind::number},
    Known{"mirostat_eta", Kind::number},
    Known{"use_mmap", Kind::boolean},
    Known{"use_mlock", Kind::boolean},
    Known{"stop", Kind::texts},
};
constexpr size_t kMaxParameters = 1024;
constexpr size_t kMaxTexts = 1024;

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

Result<ParameterValue> read_value(std::string_view name, Kind kind, std::string_view text) {
  const auto wrong = [&](std::string_view type) {
    return fail(ErrorCode::invalid_argument, "parameter '{}' must be {}, not '{}'", name, type, text);
  };
  if (kind == Kind::integer) {
    int64_t value = 0;
    if (!read_number(text, value)) return wrong("an integer");
    return value;
  }
  if (kind == Kind::number) {
    double value = 0;
    if (!read_number(text, value)) return wrong("a number");
    return value;
  }
  if (kind == Kind::boolean) {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    return wrong("true or false");
  }
  return std::vector<std::string>{std::string(text)};
}

Result<ParameterValue> from_json_value(const std::string& name, const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() && value.size() <= kMaxTexts) {
    std::vector<std::string> texts;
    for (const json& element : value) {
      if (!element.is_string()) {
        return fail(ErrorCode::corrupt_file, "parameter '{}' holds a list of something else than strings",
                    name);
      }
      texts.push_back(element.get<std::string>());
    }
    return texts;
  }
  return fail(ErrorCode::corrupt_file, "parameter '{}' has a value of a type that no parameter has", name);
}

}  // namespace

bool is_known_parameter(std::string_view name) {
  return std::ranges::find(kKnown, name, &Known::name) != kKnown.end();
}

Status add_parameter(Parameters& parameters, std::string_view name, std::string_view value) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "a PARAMETER line needs a name and a value");
  const auto known = std::ranges::find(kKnown, name, &Known::name);
  ParameterValue typed{std::string(value)};
  if (known != kKnown.end()) {
    MULLAMA_ASSIGN(typed, read_value(name, known->kind, value));
  }
  const auto existing = std::ranges::find(parameters, name, &Parameters::value_type::first);
  if (existing == parameters.end()) {
    if (parameters.size() >= kMaxParameters) return fail(ErrorCode::invalid_argument, "too many parameters");
    parameters.emplace_back(name, std::move(typed));
    return {};
  }
  auto* texts = std::get_if<std::vector<std::string>>(&existing->second);
  if (texts != nullptr && std::holds_alternative<std::vector<std::string>>(typed)) {
    if (texts->size() >= kMaxTexts) return fail(ErrorCode::invalid_argument, "too many values of '{}'", name);
    texts->emplace_back(value);
  } else {
    existing->second = std::move(typed);
  }
  return {};
}

std::string parameters_to_json(const Parameters& parameters) {
  json document = json::object();
  for (const auto& [name, value] : parameters) {
    std::visit([&, key = name](const auto& typed) { document[key] = typed; }, value);
  }
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Parameters> parameters_from_json(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object() || document.size() > kMaxParameters) {
    return fail(ErrorCode::corrupt_file, "a model's parameters are not a JSON object");
  }
  Parameters parameters;
  for (const auto& [name, value] : document.items()) {
    if (value.is_null()) continue;
    MULLAMA_ASSIGN(ParameterValue typed, from_json_value(name, value));
    parameters.emplace_back(name, std::move(typed));
  }
  return parameters;
}

std::string quote_for_modelfile(std::string_view text) {
  const std::string_view quotes = text.find_first_of("\"\n\r") == std::string_view::npos ? "\"" : "\"\"\"";
  return fmt::format("{}{}{}", quotes, text, quotes);
}

std::string to_modelfile_text(const ParameterValue& value) {
  struct Visitor {
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return quote_for_modelfile(text); }
    std::string operator()(const std::vector<std::string>& texts) const {
      std::string out;
      for (const std::string& text : texts) {
        if (!out.empty()) out += ' ';
        out += quote_for_modelfile(text);
      }
      return out;
    }
  };
  return std::visit(Visitor{}, value);
}

}  // namespace mullama::store
