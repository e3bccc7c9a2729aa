#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "text/jinja/heap.hpp"

namespace mullama::jinja {

/// Python's datetime.strftime for a time without a time zone, in the C locale's names.
[[nodiscard]] std::string format_time(Heap& heap, std::string_view format, const std::tm& time,
                                      int microseconds);

}  // namespace mullama::jinja
