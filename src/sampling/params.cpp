#include "sampling/params.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "sampling/parameter_table.hpp"

namespace mullama::sampling {

namespace {

struct KindName {
  SamplerKind kind;
  std::string_view name;
};

// The first name of a kind is ours; the others are spellings of other tools.
constexpr auto kNames = std::to_array<KindName>({
    {SamplerKind::logit_bias, "logit_bias"},
    {SamplerKind::penalties, "penalties"},
    {SamplerKind::dry, "dry"},
    {SamplerKind::top_k, "top_k"},
    {SamplerKind::typical, "typical"},
    {SamplerKind::top_p, "top_p"},
    {SamplerKind::min_p, "min_p"},
    {SamplerKind::xtc, "xtc"},
    {SamplerKind::temperature, "temperature"},
    {SamplerKind::typical, "typ_p"},
    {SamplerKind::typical, "typical_p"},
    {SamplerKind::temperature, "temp"},
});

constexpr size_t kMaxBreakers = 64;
constexpr size_t kMaxBreakerBytes = 256;

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

const KindName* find_kind(std::string_view name) {
  const auto same = [](char a, char b) { return a == b || (a == '_' && b == '-'); };
  for (const KindName& entry : kNames) {
    if (std::equal(entry.name.begin(), entry.name.end(), name.begin(), name.end(), same)) return &entry;
  }
  return nullptr;
}

}  // namespace

std::vector<SamplerKind> default_order() {
  return {SamplerKind::logit_bias, SamplerKind::penalties, SamplerKind::dry,
          SamplerKind::top_k,      SamplerKind::typical,   SamplerKind::top_p,
          SamplerKind::min_p,      SamplerKind::xtc,       SamplerKind::temperature};
}

std::string_view sampler_name(SamplerKind kind) {
  for (const KindName& entry : kNames) {
    if (entry.kind == kind) return entry.name;
  }
  return "";
}

std::string format_order(const std::vector<SamplerKind>& order) {
  std::string text;
  for (const SamplerKind kind : order) {
    if (!text.empty()) text += ';';
    text += sampler_name(kind);
  }
  return text;
}

Result<std::vector<SamplerKind>> parse_order(std::string_view text) {
  std::vector<SamplerKind> order;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find_first_of(";,", begin), text.size());
    const std::string_view name = trim(text.substr(begin, end - begin));
    begin = end + 1;
    if (name.empty()) {
      if (trim(text).empty()) break;
      return fail(ErrorCode::invalid_argument, "option \"samplers\" has an empty name at place {}",
                  order.size() + 1);
    }
    const KindName* entry = find_kind(name);
    if (entry == nullptr) {
      return fail(ErrorCode::invalid_argument,
                  "option \"samplers\" names an unknown sampler \"{}\"; known are {}", name.substr(0, 64),
                  format_order(default_order()));
    }
    if (std::find(order.begin(), order.end(), entry->kind) != order.end()) {
      return fail(ErrorCode::invalid_argument, "option \"samplers\" names \"{}\" twice", entry->name);
    }
    order.push_back(entry->kind);
  }
  if (std::find(order.begin(), order.end(), SamplerKind::logit_bias) == order.end()) {
    order.insert(order.begin(), SamplerKind::logit_bias);
  }
  return order;
}

Status validate(const SamplerParams& params, uint32_t vocab_size) {
  std::string problems;
  const auto report = [&](const std::string& problem) {
    if (!problems.empty()) problems += "; ";
    problems += problem;
  };
  for (const ParameterInfo& info : parameters()) {
    if (info.type != ParameterType::integer && info.type != ParameterType::number) continue;
    if (info.name == "seed") continue;  // every value is valid
    const std::string text = format_parameter(params, info);
    double value = NAN;
    std::from_chars(text.data(), text.data() + text.size(), value);
    // A float that stands for a decimal limit may lie a rounding beyond it.
    const double slack = 1e-6 * std::abs(info.minimum);
    if (!(value >= info.minimum - slack && value <= info.maximum)) {
      report(fmt::format("\"{}\" must be between {} and {}, not {}", info.name, info.minimum, info.maximum,
                         text));
    }
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab_size) {
      report(fmt::format("\"logit_bias\" names token {}, but the vocabulary has {} tokens", id, vocab_size));
    } else if (std::isnan(bias) || bias == INFINITY) {
      report(fmt::format("\"logit_bias\" of token {} must be a number or -inf, not {}", id, bias));
    }
  }
  for (size_t i = 0; i < params.order.size(); ++i) {
    if (static_cast<size_t>(params.order[i]) > static_cast<size_t>(SamplerKind::temperature)) {
      report(fmt::format("\"samplers\" has an unknown kind at place {}", i + 1));
    } else if (std::find(params.order.begin(), params.order.begin() + static_cast<ptrdiff_t>(i),
                         params.order[i]) != params.order.begin() + static_cast<ptrdiff_t>(i)) {
      report(fmt::format("\"samplers\" names \"{}\" twice", sampler_name(params.order[i])));
    }
  }
  if (params.dry_sequence_breakers.size() > kMaxBreakers) {
    report(fmt::format("\"dry_sequence_breakers\" has {} texts, at most {} are allowed",
                       params.dry_sequence_breakers.size(), kMaxBreakers));
  }
  for (const std::string& breaker : params.dry_sequence_breakers) {
    if (!breaker.empty() && breaker.size() <= kMaxBreakerBytes) continue;
    report(fmt::format("\"dry_sequence_breakers\" must be texts of 1 to {} bytes, not of {}",
                       kMaxBreakerBytes, breaker.size()));
    break;
  }
  if (vocab_size == 0) report("the vocabulary is empty");
  if (problems.empty()) return {};
  return fail(ErrorCode::invalid_argument, "invalid sampling parameters: {}", problems);
}

}  // namespace mullama::sampling
