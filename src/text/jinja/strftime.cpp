#include "text/jinja/strftime.hpp"

#include <array>
#include <fmt/format.h>

#include "text/jinja/text_builder.hpp"

namespace mullama::jinja {
namespace {

/// Conversions of C's strftime that depend on nothing but the time; all others print as they stand.
constexpr std::string_view kConversions = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY";

}  // namespace

std::string format_time(Heap& heap, std::string_view format, const std::tm& time, int microseconds) {
  TextBuilder out(heap);
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.append(format[i]);
      continue;
    }
    // glibc's flags for padding and case are allowed between the percent sign and the letter.
    size_t letter = i + 1;
    while (letter < format.size() && letter < i + 4 &&
           std::string_view("-_0^#").find(format[letter]) != std::string_view::npos) {
      ++letter;
    }
    const char conversion = letter < format.size() ? format[letter] : '\0';
    if (conversion == 'f') {
      out.append(fmt::format("{:06}", microseconds));
    } else if (conversion == '%') {
      out.append('%');
    } else if (conversion == 'z' || conversion == 'Z') {
      // A naive time has no zone.
    } else if (conversion != '\0' && kConversions.find(conversion) != std::string_view::npos) {
      std::array<char, 256> buffer{};
      const std::string one(format.substr(i, letter - i + 1));
      out.append(
          std::string_view(buffer.data(), std::strftime(buffer.data(), buffer.size(), one.c_str(), &time)));
    } else {
      out.append('%');
      continue;
    }
    i = letter;
  }
  return out.take();
}

}  // namespace mullama::jinja
