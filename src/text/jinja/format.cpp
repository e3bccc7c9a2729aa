#include "text/jinja/format.hpp"

#include <array>
#include <cmath>
#include <cstdio>

#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

std::string digits_of(uint64_t value, unsigned base, bool upper) {
  std::string digits;
  do {
    const unsigned digit = static_cast<unsigned>(value % base);
    digits.push_back(static_cast<char>(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10));
    value /= base;
  } while (value != 0);
  return {digits.rbegin(), digits.rend()};
}

/// Puts a separator between groups of digits before the decimal point.
std::string grouped(std::string_view digits, char separator, size_t group) {
  if (separator == 0) return std::string(digits);
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string result;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % group == 0) result.push_back(separator);
    result.push_back(digits[i]);
  }
  return result + std::string(digits.substr(whole));
}

std::string sign_of(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? "" : std::string(1, sign);
}

std::string pad(Interpreter& interpreter, std::string_view head, std::string_view body, const Layout& layout,
                char default_align) {
  const size_t length = count_code_points(head) + count_code_points(body);
  TextBuilder out(interpreter.heap());
  if (length >= layout.width) {
    out.append(head);
    out.append(body);
    return out.take();
  }
  const size_t room = layout.width - length;
  interpreter.heap().expect_room(room > SIZE_MAX / 8 ? SIZE_MAX : room * layout.fill.size());
  const char align = layout.align != 0 ? layout.align : (layout.zeros ? '=' : default_align);
  const std::string_view fill = layout.zeros && layout.align == 0 ? "0" : std::string_view(layout.fill);
  const auto fill_times = [&](size_t times) {
    for (size_t i = 0; i < times; ++i) out.append(fill);
  };
  if (align == '=') {
    out.append(head);
    fill_times(room);
    out.append(body);
    return out.take();
  }
  const size_t before = align == '<' ? 0 : align == '>' ? room : room / 2;
  fill_times(before);
  out.append(head);
  out.append(body);
  fill_times(room - before);
  return out.take();
}

std::string printed(double value, int precision, char type, bool alternate) {
  const std::string format = std::string("%") + (alternate ? "#" : "") + ".*" + type;
  std::array<char, 64> small{};
  const int length = std::snprintf(small.data(), small.size(), format.c_str(), precision, value);
  if (length < static_cast<int>(small.size())) return small.data();
  std::string large(static_cast<size_t>(length) + 1, '\0');
  std::snprintf(large.data(), large.size(), format.c_str(), precision, value);
  large.pop_back();
  return large;
}

}  // namespace

std::string layout_integer(Interpreter& interpreter, int64_t value, const Layout& layout) {
  const bool upper = layout.type == 'X';
  const unsigned base = layout.type == 'x' || upper ? 16
                        : layout.type == 'o'        ? 8
                        : layout.type == 'b'        ? 2
                                                    : 10;
  const auto magnitude = value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
  std::string digits = digits_of(magnitude, base, upper);
  if (layout.precision > static_cast<int>(digits.size())) {
    digits.insert(0, static_cast<size_t>(layout.precision) - digits.size(), '0');
  }
  std::string head = sign_of(value < 0, layout.sign);
  if (layout.alternate && base != 10) head += std::string("0") + layout.type;
  return pad(interpreter, head, grouped(digits, layout.grouping, base == 10 ? 3 : 4), layout, '>');
}

std::string layout_float(Interpreter& interpreter, double value, const Layout& layout) {
  const double magnitude = std::abs(value);
  const bool upper = layout.type == 'E' || layout.type == 'F' || layout.type == 'G';
  const bool percent = layout.type == '%';
  std::string digits;
  if (!std::isfinite(value)) {
    digits = std::isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
  } else if (layout.type == 0 && layout.precision < 0) {
    digits = float_repr(magnitude);
  } else {
    // Only these reach the C library, whose other conversions are not harmless.
    const bool known =
        layout.type != 0 && std::string_view("eEfFgG").find(layout.type) != std::string_view::npos;
    const char type = percent ? 'f' : known ? layout.type : 'g';
    digits = printed(percent ? magnitude * 100 : magnitude, layout.precision < 0 ? 6 : layout.precision, type,
                     layout.alternate);
    if (layout.type == 0 && digits.find_first_of(".en") == std::string::npos) digits += ".0";
  }
  if (percent) digits.push_back('%');
  const bool negative = std::signbit(value) && !std::isnan(value);
  return pad(interpreter, sign_of(negative, layout.sign), grouped(digits, layout.grouping, 3), layout, '>');
}

std::string layout_text(Interpreter& interpreter, std::string_view text, const Layout& layout) {
  if (layout.precision >= 0) text = text.substr(0, offset_of(text, static_cast<size_t>(layout.precision)));
  return pad(interpreter, "", text, layout, '<');
}

}  // namespace mullama::jinja
