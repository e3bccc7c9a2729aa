#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"

namespace mullama::engine {

/// `internal` if a value is no number.
[[nodiscard]] Status check_embedding(std::span<const float> vector);

/// Keeps the first `dimensions` values, all of them where there are fewer or none is asked for.
void cut_embedding(std::vector<float>& vector, std::optional<uint32_t> dimensions);

/// Scales to Euclidean length 1; zeros stay.
void normalize_embedding(std::span<float> vector);

}  // namespace mullama::engine
