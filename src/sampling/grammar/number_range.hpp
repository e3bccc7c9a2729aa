#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

/// A decimal number in plain digits, without superfluous zeros.
struct Decimal {
  bool negative = false;
  std::string whole = "0";
  std::string fraction;  ///< No zeros at the end.

  [[nodiscard]] bool is_zero() const { return whole == "0" && fraction.empty(); }
  friend bool operator==(const Decimal&, const Decimal&) = default;
};

/// Reads a JSON number's text, with an exponent or not. Refuses exponents beyond +-400.
[[nodiscard]] Result<Decimal> parse_decimal(std::string_view text);
[[nodiscard]] int compare(const Decimal& a, const Decimal& b);

struct NumberRange {
  struct Bound {
    Decimal value;
    bool exclusive = false;
  };
  std::optional<Bound> lower;
  std::optional<Bound> upper;
  bool integer = false;
  uint32_t multiple = 1;  ///< Of an integer.

  [[nodiscard]] bool bounded() const { return lower || upper || multiple != 1; }
};

/// Integers of at most this many digits where no bound says otherwise: all fit 64 bits.
inline constexpr size_t kIntegerDigits = 18;
/// Digits of a number with bounds: numbers of so many digits stay apart, and in order, as doubles.
inline constexpr size_t kNumberDigits = 15;

/// The JSON texts of the numbers in a range, exactly: integers without fraction, other numbers without
/// exponent. Nothing where the range holds no such number.
[[nodiscard]] Result<std::optional<ExprId>> range_expression(RuleSet& rules, const NumberRange& range);

}  // namespace mullama::sampling
