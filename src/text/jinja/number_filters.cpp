#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "text/jinja/filter_functions.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja::filters {
namespace {

/// Underscores are allowed between digits only; nullopt if one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits.push_back(text[i]);
      continue;
    }
    const auto is_digit_at = [&](size_t k) {
      return k < text.size() && std::isalnum(static_cast<unsigned char>(text[k]));
    };
    if (i == 0 || !is_digit_at(i - 1) || !is_digit_at(i + 1)) return std::nullopt;
  }
  return digits;
}

/// Python's float(text).
std::optional<double> parse_float(std::string_view text) {
  auto digits = without_underscores(strip(text));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  const bool negative = body[0] == '-';
  if (body[0] == '+' || body[0] == '-') body.remove_prefix(1);
  const std::string lowered = to_lower(body);
  if (lowered == "inf" || lowered == "infinity") return negative ? -HUGE_VAL : HUGE_VAL;
  if (lowered == "nan") return std::nan("");
  if (body.empty() || !(is_decimal(static_cast<unsigned char>(body[0])) || body[0] == '.'))
    return std::nullopt;
  double value = 0;
  const auto parsed = std::from_chars(body.data(), body.data() + body.size(), value);
  if (parsed.ptr != body.data() + body.size()) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) {
    value = std::strtod(std::string(body).c_str(), nullptr);
  } else if (parsed.ec != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

/// Python's int(text, base); fails where the number does not fit.
std::optional<int64_t> parse_int(std::string_view text, int64_t base) {
  auto digits = without_underscores(strip(text));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  const bool negative = body[0] == '-';
  if (body[0] == '+' || body[0] == '-') body.remove_prefix(1);
  const char mark = body.size() > 2 && body[0] == '0' ? static_cast<char>(body[1] | 0x20) : '\0';
  const int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked != 0 && (base == marked || base == 0)) {
    body.remove_prefix(2);
    base = marked;
  } else if (base == 0) {
    if (body.size() > 1 && body[0] == '0' && body.find_first_not_of('0') != std::string_view::npos)
      return std::nullopt;
    base = 10;
  }
  if (body.empty() || body[0] == '-' || body[0] == '+') return std::nullopt;
  const std::string signed_digits = (negative ? "-" : "") + std::string(body);
  int64_t value = 0;
  const auto parsed = std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(),
                                      value, static_cast<int>(base));
  if (parsed.ptr != signed_digits.data() + signed_digits.size()) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range)
    raise(kOverflowError, "the number does not fit a 64-bit integer");
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> truncated(double value) {
  if (std::isnan(value)) return std::nullopt;
  if (!(std::abs(value) < 0x1p63)) raise(kOverflowError, "cannot convert the float to a 64-bit integer");
  return static_cast<int64_t>(value);
}

double rounded(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision < -330) return std::copysign(0.0, value);
  if (precision >= 0) {
    // The C library rounds the exact decimal expansion half to even, as Python does.
    std::array<char, 700> digits{};
    std::snprintf(digits.data(), digits.size(), "%.*f", static_cast<int>(precision), value);
    return std::strtod(digits.data(), nullptr);
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / scale) * scale;
}

int64_t rounded(int64_t value, int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return 0;
  int64_t scale = 1;
  for (int64_t i = precision; i < 0; ++i) scale *= 10;
  const int64_t rest = value % scale;
  const int64_t magnitude = rest < 0 ? -rest : rest;
  const int64_t base = value - rest;
  const bool up = magnitude > scale / 2 || (magnitude == scale / 2 && base / scale % 2 != 0);
  int64_t result = base;
  if (up && __builtin_add_overflow(base, value < 0 ? -scale : scale, &result)) {
    raise(kOverflowError, "the result does not fit a 64-bit integer");
  }
  return result;
}

}  // namespace

Value abs(Interpreter&, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("abs", arguments, {});
  if (const auto integer = input.integral()) {
    if (*integer == INT64_MIN) raise(kOverflowError, "the result does not fit a 64-bit integer");
    return Value(*integer < 0 ? -*integer : *integer);
  }
  if (input.is_float()) return Value(std::abs(input.as_float()));
  raise(kTypeError, "bad operand type for abs(): '{}'", type_name(input));
}

Value to_int(Interpreter&, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("int", arguments, {"default", "base"});
  const int64_t base = bound.integer_or(1, 10);
  const Value missing = bound.get(0) != nullptr ? bound[0] : Value(static_cast<int64_t>(0));
  if (const auto* undefined = input.get<Undefined>()) undefined->fail();
  if (const auto integer = input.integral()) return Value(*integer);
  if (input.is_float()) {
    const auto whole = truncated(input.as_float());
    return whole ? Value(*whole) : missing;
  }
  if (!input.is_string()) return missing;
  if (base == 0 || (base >= 2 && base <= 36)) {
    if (const auto parsed = parse_int(input.text(), base)) return Value(*parsed);
  }
  const auto number = parse_float(input.text());
  if (!number || !std::isfinite(*number)) return missing;
  const auto whole = truncated(*number);
  return whole ? Value(*whole) : missing;
}

Value to_float(Interpreter&, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"});
  if (const auto* undefined = input.get<Undefined>()) undefined->fail();
  if (const auto number = input.number()) return Value(*number);
  if (input.is_string()) {
    if (const auto parsed = parse_float(input.text())) return Value(*parsed);
  }
  return bound.get(0) != nullptr ? bound[0] : Value(0.0);
}

Value round(Interpreter&, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"});
  const int64_t precision = bound.integer_or(0, 0);
  const auto method = bound.text_or(1, "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    raise(kFilterArgumentError, "method must be common, ceil or floor");
  }
  const auto number = input.number();
  if (!number) {
    if (method != "common") {
      if (const auto* undefined = input.get<Undefined>()) undefined->fail();
      raise(kTypeError, "must be real number, not {}", type_name(input));
    }
    raise(kTypeError, "type {} doesn't define __round__ method", type_name(input));
  }
  if (method == "common") {
    const auto integer = input.integral();
    return integer ? Value(rounded(*integer, precision)) : Value(rounded(*number, precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *number * scale;
  if (!std::isfinite(scaled)) raise(kOverflowError, "cannot convert float infinity to integer");
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value file_size_format(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("filesizeformat", arguments, {"binary"});
  const bool binary = bound.truth_or(0, false);
  if (const auto* missing = input.get<Undefined>()) missing->fail();
  if (!input.number() && !input.is_string()) {
    raise(kTypeError, "float() argument must be a string or a real number, not '{}'", type_name(input));
  }
  const auto number = input.is_string() ? parse_float(input.text()) : input.number();
  if (!number) raise(kValueError, "could not convert string to float: {}", text_repr(input.text()));
  const double bytes = *number;
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return interpreter.text("1 Byte");
  if (bytes < base) return interpreter.text(fmt::format("{} Bytes", std::trunc(bytes)));
  static constexpr std::array<const char*, 8> kBinary = {"KiB", "MiB", "GiB", "TiB",
                                                         "PiB", "EiB", "ZiB", "YiB"};
  static constexpr std::array<const char*, 8> kDecimal = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  double unit = base * base;
  size_t step = 0;
  while (step + 1 < kBinary.size() && bytes >= unit) {
    unit *= base;
    ++step;
  }
  return interpreter.text(fmt::format("{:.1f} {}", base * bytes / unit, (binary ? kBinary : kDecimal)[step]));
}

}  // namespace mullama::jinja::filters
