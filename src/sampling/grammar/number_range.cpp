#include "sampling/grammar/number_range.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace mullama::sampling {

namespace {

constexpr size_t kMaxBoundDigits = 40;

int compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int order = a.whole.compare(b.whole); order != 0) return order < 0 ? -1 : 1;
  const int order = a.fraction.compare(b.fraction);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

/// Magnitudes between two decimals; both are included unless they say otherwise.
struct Interval {
  Decimal low;
  bool low_exclusive = false;
  std::optional<Decimal> high;
  bool high_exclusive = false;
};

/// Where a number is in the reading.
struct Place {
  size_t length = 0;     // of the whole part
  size_t remaining = 0;  // of the whole part
  size_t fraction = 0;   // digits read after the point
  bool point = false;
  bool at_low = false;  // the digits so far are the bound's
  bool at_high = false;
  uint32_t remainder = 0;

  using Key = std::tuple<size_t, size_t, size_t, bool, bool, bool, uint32_t>;
  /// For integers the length no longer matters once the digits are free of both bounds.
  [[nodiscard]] Key key(bool integer) const {
    const bool free = integer && !at_low && !at_high && remaining < length;
    return {free ? 0 : length, remaining, fraction, point, at_low, at_high, remainder};
  }
};

/// Builds a machine over digits. A state knows how many digits of the whole part are still to come and
/// whether the digits so far equal the beginning of a bound; where they do, it also knows which place it is
/// at.
class DigitMachine {
 public:
  DigitMachine(RuleSet& rules, const Interval& interval, bool integer, uint32_t multiple)
      : rules_(rules), interval_(interval), integer_(integer), multiple_(multiple) {}

  /// Adds an entry for each possible length of the whole part.
  std::optional<Machine> run(size_t max_digits) {
    max_digits_ = max_digits;
    machine_.states.emplace_back();
    const size_t shortest = interval_.low.whole.size();
    size_t longest = std::max(max_digits, shortest);
    if (interval_.high) longest = std::min(longest, interval_.high->whole.size());
    for (size_t length = shortest; length <= longest; ++length) {
      Place place;
      place.length = length;
      place.remaining = length;
      place.at_low = length == shortest;
      place.at_high = interval_.high && length == interval_.high->whole.size();
      const uint32_t entry = state_of(place);
      machine_.states[0].edges.push_back({rules_.empty(), entry});
    }
    for (size_t i = 0; i < places_.size(); ++i) expand(i);
    return useful() ? std::optional(std::move(machine_)) : std::nullopt;
  }

 private:
  uint32_t state_of(const Place& place) {
    const auto [it, added] =
        index_.try_emplace(place.key(integer_), static_cast<uint32_t>(machine_.states.size()));
    if (added) {
      machine_.states.emplace_back();
      machine_.states.back().final = is_final(place);
      places_.push_back(place);
      numbers_.push_back(it->second);
    }
    return it->second;
  }

  [[nodiscard]] bool is_final(const Place& place) const {
    if (place.remaining > 0 || place.remainder != 0) return false;
    if (place.point && place.fraction == 0) return false;
    if (place.at_low) {
      // Equal so far: less than the bound if it has more digits, all of which would have to be zero.
      if (place.fraction < interval_.low.fraction.size()) return false;
      if (interval_.low_exclusive) return false;
    }
    if (place.at_high && place.fraction >= interval_.high->fraction.size() && interval_.high_exclusive)
      return false;
    return true;
  }

  static int digit_at(const Decimal& bound, const Place& place) {
    if (place.remaining > 0) return bound.whole[place.length - place.remaining] - '0';
    return place.fraction < bound.fraction.size() ? bound.fraction[place.fraction] - '0' : 0;
  }

  void expand(size_t i) {
    const Place place = places_[i];
    const uint32_t from = numbers_[i];
    if (place.remaining == 0 && !place.point) {
      if (integer_ || place.length >= max_digits_) return;
      Place next = place;
      next.point = true;
      const uint32_t target = state_of(next);
      machine_.states[from].edges.push_back({rules_.literal("."), target});
      return;
    }
    if (place.remaining == 0 && place.length + place.fraction >= max_digits_) return;
    int first = place.remaining == place.length && place.length > 1 ? 1 : 0;
    int last = 9;
    if (place.at_low) first = std::max(first, digit_at(interval_.low, place));
    if (place.at_high) last = digit_at(*interval_.high, place);
    std::map<uint32_t, std::vector<CodePointRange>> targets;
    for (int digit = first; digit <= last; ++digit) {
      Place next = place;
      if (place.remaining > 0)
        --next.remaining;
      else
        ++next.fraction;
      next.at_low = place.at_low && digit == digit_at(interval_.low, place);
      next.at_high = place.at_high && digit == digit_at(*interval_.high, place);
      next.remainder =
          static_cast<uint32_t>((uint64_t{place.remainder} * 10 + static_cast<uint64_t>(digit)) % multiple_);
      const auto character = static_cast<uint32_t>('0' + digit);
      targets[state_of(next)].push_back({character, character});
    }
    for (auto& [target, ranges] : targets) {
      machine_.states[from].edges.push_back({rules_.set(CodePointSet(std::move(ranges))), target});
    }
  }

  /// Whether any final state can be reached; all states were made by walking from the start.
  [[nodiscard]] bool useful() const {
    return std::any_of(machine_.states.begin(), machine_.states.end(),
                       [](const Machine::State& s) { return s.final; });
  }

  RuleSet& rules_;
  const Interval& interval_;
  bool integer_;
  uint32_t multiple_;
  size_t max_digits_ = 0;
  Machine machine_;
  std::map<Place::Key, uint32_t> index_;
  std::vector<Place> places_;
  std::vector<uint32_t> numbers_;
};

Decimal magnitude(Decimal value) {
  value.negative = false;
  return value;
}

/// The part of a range on one side of zero, as magnitudes; zero belongs to the side without a sign.
std::optional<Interval> side(const NumberRange& range, bool negative) {
  const auto& near = negative ? range.upper : range.lower;  // limits from the direction of zero
  const auto& far = negative ? range.lower : range.upper;
  const auto on_side = [&](const NumberRange::Bound& bound) {
    return negative ? bound.value.negative : !bound.value.negative;
  };
  Interval interval;
  interval.low_exclusive = negative;
  if (near && on_side(*near)) {
    interval.low = magnitude(near->value);
    interval.low_exclusive = near->exclusive;
  }
  if (far) {
    if (!on_side(*far)) return std::nullopt;
    interval.high = magnitude(far->value);
    interval.high_exclusive = far->exclusive;
    const int order = compare_magnitudes(interval.low, *interval.high);
    if (order > 0 || (order == 0 && (interval.low_exclusive || interval.high_exclusive))) return std::nullopt;
  }
  return interval;
}

std::string incremented(std::string digits) {
  size_t i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i == 0) return "1" + digits;
  ++digits[i - 1];
  return digits;
}

}  // namespace

Result<Decimal> parse_decimal(std::string_view text) {
  constexpr int kMaxExponent = 400;
  Decimal value;
  if (!text.empty() && text.front() == '-') {
    value.negative = true;
    text.remove_prefix(1);
  }
  int exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (!digits.empty() && digits.front() == '+') digits.remove_prefix(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (error != std::errc() || end != digits.data() + digits.size() || std::abs(exponent) > kMaxExponent) {
      return fail(ErrorCode::unsupported, "the number {} is out of range", text.substr(0, 64));
    }
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  std::string digits(text.substr(0, point));
  auto places = static_cast<int>(digits.size());
  if (point != std::string_view::npos) digits += text.substr(point + 1);
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return fail(ErrorCode::invalid_argument, "\"{}\" is not a number", text.substr(0, 64));
  }
  places += exponent;
  if (places < 0) {
    digits.insert(0, static_cast<size_t>(-places), '0');
    places = 0;
  }
  if (static_cast<size_t>(places) > digits.size())
    digits.append(static_cast<size_t>(places) - digits.size(), '0');
  value.whole = digits.substr(0, static_cast<size_t>(places));
  value.fraction = digits.substr(static_cast<size_t>(places));
  value.whole.erase(0, std::min(value.whole.find_first_not_of('0'), value.whole.size()));
  if (value.whole.empty()) value.whole.push_back('0');
  value.fraction.erase(value.fraction.find_last_not_of('0') + 1);
  if (value.is_zero()) value.negative = false;
  return value;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int order = compare_magnitudes(a, b);
  return a.negative ? -order : order;
}

Result<std::optional<ExprId>> range_expression(RuleSet& rules, const NumberRange& range) {
  const size_t max_digits = range.integer ? kIntegerDigits : kNumberDigits;
  std::vector<ExprId> sides;
  for (const bool negative : {false, true}) {
    auto interval = side(range, negative);
    if (!interval) continue;
    if (range.integer) {
      // The nearest integers inside.
      if (!interval->low.fraction.empty() || interval->low_exclusive) {
        interval->low = {false, incremented(interval->low.whole), {}};
        interval->low_exclusive = false;
      }
      if (interval->high && !interval->high->fraction.empty()) {
        interval->high->fraction.clear();
        interval->high_exclusive = false;
      }
      if (interval->high && compare_magnitudes(interval->low, *interval->high) > 0) continue;
    }
    if (interval->low.whole.size() > (range.integer ? kMaxBoundDigits : kNumberDigits)) {
      return fail(ErrorCode::unsupported, "numbers of more than {} digits are not supported",
                  range.integer ? kMaxBoundDigits : kNumberDigits);
    }
    auto machine = DigitMachine(rules, *interval, range.integer, range.multiple).run(max_digits);
    if (!machine) continue;
    const ExprId digits = rules.machine(std::move(*machine));
    sides.push_back(negative ? rules.sequence({rules.literal("-"), digits}) : digits);
  }
  if (sides.empty()) return std::nullopt;
  return rules.choice(std::move(sides));
}

}  // namespace mullama::sampling
