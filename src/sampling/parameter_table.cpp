#include "sampling/parameter_table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

namespace mullama::sampling {

namespace {

using Field =
    std::variant<float SamplerParams::*, int32_t SamplerParams::*, std::optional<uint64_t> SamplerParams::*,
                 std::vector<std::string> SamplerParams::*, std::vector<SamplerKind> SamplerParams::*,
                 std::vector<std::pair<TokenId, float>> SamplerParams::*>;

constexpr double kMaxInt = std::numeric_limits<int32_t>::max();
constexpr double kMaxSeed = 9223372036854775807.0;

// Descriptions and fields are two arrays of one order, so that the public table stays plain data.
constexpr auto kInfos = std::to_array<ParameterInfo>({
    {"seed", ParameterType::integer, -1, kMaxSeed, "random seed; -1 draws one and reports it"},
    {"temperature", ParameterType::number, 0, 1000,
     "flattens (> 1) or sharpens (< 1) the distribution; 0 is greedy"},
    {"dynatemp_range", ParameterType::number, 0, 1000,
     "temperature moves within +- this much with the entropy"},
    {"dynatemp_exponent", ParameterType::number, 0, 100, "shape of the dynamic temperature's movement"},
    {"top_k", ParameterType::integer, -1, kMaxInt, "keep the k most probable tokens; 0 or -1: all"},
    {"top_p", ParameterType::number, 0, 1, "keep the most probable tokens that reach this mass; 1: all"},
    {"min_p", ParameterType::number, 0, 1,
     "drop tokens below this share of the best one's probability; 0: none"},
    {"typical_p", ParameterType::number, 0, 1,
     "keep tokens of typical surprise that reach this mass; 1: all"},
    {"xtc_probability", ParameterType::number, 0, 1,
     "chance to drop the top choices but the last one above the threshold"},
    {"xtc_threshold", ParameterType::number, 0, 1, "probability from which a token counts as a top choice"},
    {"repeat_penalty", ParameterType::number, 0.01, 100, "divides the logits of recent tokens; 1: off"},
    {"repeat_last_n", ParameterType::integer, -1, kMaxInt,
     "how many tokens are recent; 0: off, -1: the whole context"},
    {"frequency_penalty", ParameterType::number, -100, 100, "subtracted for each recent occurrence"},
    {"presence_penalty", ParameterType::number, -100, 100, "subtracted once for a recent token"},
    {"dry_multiplier", ParameterType::number, 0, 1000,
     "strength of the penalty on repeated sequences (DRY); 0: off"},
    {"dry_base", ParameterType::number, 1, 100, "growth of that penalty for each further token repeated"},
    {"dry_allowed_length", ParameterType::integer, 1, kMaxInt,
     "longest repetition that DRY leaves alone but for the multiplier"},
    {"dry_penalty_last_n", ParameterType::integer, -1, kMaxInt,
     "how far back DRY looks; 0: off, -1: the whole context"},
    {"dry_sequence_breakers", ParameterType::strings, 0, 0, "texts over which no repetition is followed"},
    {"mirostat", ParameterType::integer, 0, 2,
     "1 or 2: hold the surprise at mirostat_tau instead of truncating"},
    {"mirostat_tau", ParameterType::number, 0, 100, "target surprise in bits"},
    {"mirostat_eta", ParameterType::number, 0, 10, "learning rate of mirostat"},
    {"logit_bias", ParameterType::string, 0, 0, "ID=BIAS,...: added to logits; -inf bans a token"},
    {"samplers", ParameterType::string, 0, 0, "order of the chain, names separated by ';'"},
    {"min_keep", ParameterType::integer, 0, kMaxInt, "no truncation leaves fewer candidates"},
    {"n_probs", ParameterType::integer, -1, 20,
     "log-probabilities: -1 none, 0 the chosen token's, up to 20 alternatives"},
});

const std::array<Field, kInfos.size()>& fields() {
  using P = SamplerParams;
  static const std::array<Field, kInfos.size()> kFields{&P::seed,
                                                        &P::temperature,
                                                        &P::dynamic_temperature_range,
                                                        &P::dynamic_temperature_exponent,
                                                        &P::top_k,
                                                        &P::top_p,
                                                        &P::min_p,
                                                        &P::typical_p,
                                                        &P::xtc_probability,
                                                        &P::xtc_threshold,
                                                        &P::repeat_penalty,
                                                        &P::repeat_last_n,
                                                        &P::frequency_penalty,
                                                        &P::presence_penalty,
                                                        &P::dry_multiplier,
                                                        &P::dry_base,
                                                        &P::dry_allowed_length,
                                                        &P::dry_penalty_last_n,
                                                        &P::dry_sequence_breakers,
                                                        &P::mirostat,
                                                        &P::mirostat_tau,
                                                        &P::mirostat_eta,
                                                        &P::logit_bias,
                                                        &P::order,
                                                        &P::min_keep,
                                                        &P::n_probs};
  return kFields;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

tl::unexpected<Error> unknown(std::string_view name) {
  constexpr size_t kLongestName = 64;
  const ParameterInfo* nearest = nullptr;
  size_t distance = 4;
  if (name.size() <= kLongestName) {
    for (const ParameterInfo& info : kInfos) {
      const size_t d = edit_distance(name, info.name);
      if (d < distance) {
        distance = d;
        nearest = &info;
      }
    }
  }
  const std::string_view shown = name.substr(0, kLongestName);
  if (nearest != nullptr) {
    return fail(ErrorCode::not_found, "unknown option \"{}\"; did you mean \"{}\"?", shown, nearest->name);
  }
  return fail(ErrorCode::not_found, "unknown option \"{}\"", shown);
}

tl::unexpected<Error> wrong_type(const ParameterInfo& info) {
  return fail(ErrorCode::invalid_argument, "option \"{}\" must be of type {}", info.name,
              type_name(info.type));
}

Status check_range(const ParameterInfo& info, double value) {
  if (value >= info.minimum && value <= info.maximum) return {};
  return fail(ErrorCode::invalid_argument, "option \"{}\" must be between {} and {}, not {}", info.name,
              info.minimum, info.maximum, value);
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<std::vector<std::pair<TokenId, float>>> parse_bias(const ParameterInfo& info, std::string_view text) {
  std::vector<std::pair<TokenId, float>> bias;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view entry = text.substr(0, comma);
    const size_t equals = entry.find('=');
    const auto id = parse_number<TokenId>(entry.substr(0, equals));
    const auto value =
        equals == std::string_view::npos ? std::nullopt : parse_number<float>(entry.substr(equals + 1));
    if (!id || !value || *id < 0 || std::isnan(*value) || *value == INFINITY) {
      return fail(ErrorCode::invalid_argument,
                  "option \"{}\" must be ID=BIAS pairs separated by commas, such as 42=-5.5", info.name);
    }
    bias.emplace_back(*id, *value);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return bias;
}

Result<std::vector<std::string>> parse_strings(const ParameterInfo& info, std::string_view text) {
  std::vector<std::string> list;
  if (text.empty()) return list;
  std::string item;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      list.push_back(std::exchange(item, {}));
    } else if (text[i] != '\\') {
      item += text[i];
    } else if (++i == text.size()) {
      return fail(ErrorCode::invalid_argument, "option \"{}\" ends in a lone backslash; write \\\\ for one",
                  info.name);
    } else {
      const char c = text[i];
      item += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    }
  }
  list.push_back(std::move(item));
  return list;
}

std::string format_strings(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& item : list) {
    if (&item != list.data()) text += ',';
    for (const char c : item) {
      switch (c) {
        case '\n':
          text += "\\n";
          break;
        case '\t':
          text += "\\t";
          break;
        case '\r':
          text += "\\r";
          break;
        case ',':
          text += "\\,";
          break;
        case '\\':
          text += "\\\\";
          break;
        default:
          text += c;
      }
    }
  }
  return text;
}

Status set_integer(SamplerParams& params, const ParameterInfo& info, const Field& field, int64_t value) {
  MULLAMA_TRY(check_range(info, static_cast<double>(value)));
  if (const auto* seed = std::get_if<std::optional<uint64_t> SamplerParams::*>(&field)) {
    params.*(*seed) = value < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(value));
  } else if (const auto* number = std::get_if<int32_t SamplerParams::*>(&field)) {
    params.*(*number) = static_cast<int32_t>(value);
  }
  return {};
}

Status set_string(SamplerParams& params, const ParameterInfo& info, const Field& field,
                  std::string_view text) {
  if (const auto* list = std::get_if<std::vector<std::string> SamplerParams::*>(&field)) {
    MULLAMA_ASSIGN(params.*(*list), parse_strings(info, text));
  } else if (const auto* order = std::get_if<std::vector<SamplerKind> SamplerParams::*>(&field)) {
    MULLAMA_ASSIGN(params.*(*order), parse_order(text));
  } else if (const auto* bias =
                 std::get_if<std::vector<std::pair<TokenId, float>> SamplerParams::*>(&field)) {
    MULLAMA_ASSIGN(params.*(*bias), parse_bias(info, text));
  }
  return {};
}

}  // namespace

std::string_view type_name(ParameterType type) {
  switch (type) {
    case ParameterType::integer:
      return "integer";
    case ParameterType::number:
      return "number";
    case ParameterType::string:
      return "string";
    case ParameterType::strings:
      return "list of strings";
  }
  return "";
}

std::span<const ParameterInfo> parameters() {
  return kInfos;
}

const ParameterInfo* find_parameter(std::string_view name) {
  const auto it = std::find_if(kInfos.begin(), kInfos.end(),
                               [&](const ParameterInfo& info) { return info.name == name; });
  return it == kInfos.end() ? nullptr : &*it;
}

Status set(SamplerParams& params, std::string_view name, const ParameterValue& value) {
  const ParameterInfo* info = find_parameter(name);
  if (info == nullptr) return unknown(name);
  const Field& field = fields()[static_cast<size_t>(info - kInfos.data())];
  const auto* integer = std::get_if<int64_t>(&value);
  const auto* number = std::get_if<double>(&value);
  switch (info->type) {
    case ParameterType::integer:
      if (integer != nullptr) return set_integer(params, *info, field, *integer);
      // JSON writers of some languages give every number a fraction.
      if (number == nullptr || !(std::abs(*number) < 0x1p53) || std::trunc(*number) != *number)
        return wrong_type(*info);
      return set_integer(params, *info, field, static_cast<int64_t>(*number));
    case ParameterType::number: {
      if (integer == nullptr && number == nullptr) return wrong_type(*info);
      const double real = integer != nullptr ? static_cast<double>(*integer) : *number;
      MULLAMA_TRY(check_range(*info, real));
      params.*std::get<float SamplerParams::*>(field) = static_cast<float>(real);
      return {};
    }
    case ParameterType::string: {
      const auto* text = std::get_if<std::string>(&value);
      if (text == nullptr) return wrong_type(*info);
      return set_string(params, *info, field, *text);
    }
    case ParameterType::strings: {
      const auto* list = std::get_if<std::vector<std::string>>(&value);
      if (list == nullptr) return wrong_type(*info);
      params.*std::get<std::vector<std::string> SamplerParams::*>(field) = *list;
      return {};
    }
  }
  return {};
}

Status set_text(SamplerParams& params, std::string_view name, std::string_view text) {
  const ParameterInfo* info = find_parameter(name);
  if (info == nullptr) return unknown(name);
  const Field& field = fields()[static_cast<size_t>(info - kInfos.data())];
  switch (info->type) {
    case ParameterType::integer: {
      const auto value = parse_number<int64_t>(text);
      if (value) return set_integer(params, *info, field, *value);
      const auto* seed = std::get_if<std::optional<uint64_t> SamplerParams::*>(&field);
      const auto large = seed == nullptr ? std::nullopt : parse_number<uint64_t>(text);
      if (!large) return wrong_type(*info);
      params.*(*seed) = *large;
      return {};
    }
    case ParameterType::number: {
      const auto value = parse_number<double>(text);
      if (!value) return wrong_type(*info);
      return set(params, name, *value);
    }
    case ParameterType::string:
    case ParameterType::strings:
      return set_string(params, *info, field, text);
  }
  return {};
}

ParameterValue get(const SamplerParams& params, const ParameterInfo& info) {
  const ParameterInfo* own = find_parameter(info.name);
  if (own == nullptr) return std::string();
  return std::visit(
      [&](auto member) -> ParameterValue {
        const auto& value = params.*member;
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::optional<uint64_t>>) {
          return value ? static_cast<int64_t>(*value) : int64_t{-1};
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return value;
        } else if constexpr (std::is_same_v<T, int32_t>) {
          return int64_t{value};
        } else if constexpr (std::is_same_v<T, float>) {
          return double{value};
        } else {
          return format_parameter(params, info);
        }
      },
      fields()[static_cast<size_t>(own - kInfos.data())]);
}

std::string format_parameter(const SamplerParams& params, const ParameterInfo& info) {
  const ParameterInfo* own = find_parameter(info.name);
  if (own == nullptr) return {};
  return std::visit(
      [&](auto member) -> std::string {
        const auto& value = params.*member;
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::optional<uint64_t>>) {
          return value ? fmt::format("{}", *value) : "-1";
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return format_strings(value);
        } else if constexpr (std::is_same_v<T, std::vector<SamplerKind>>) {
          return format_order(value);
        } else if constexpr (std::is_same_v<T, std::vector<std::pair<TokenId, float>>>) {
          std::string text;
          for (const auto& [id, bias] : value)
            text += fmt::format("{}{}={}", text.empty() ? "" : ",", id, bias);
          return text;
        } else {
          return fmt::format("{}", value);
        }
      },
      fields()[static_cast<size_t>(own - kInfos.data())]);
}

}  // namespace mullama::sampling
