#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mullama::store {

/// The candidate nearest to what was typed, if it is near enough to be meant.
[[nodiscard]] std::optional<std::string> nearest(std::string_view typed,
                                                 std::span<const std::string> candidates);

}  // namespace mullama::store
