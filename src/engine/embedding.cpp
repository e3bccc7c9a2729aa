#include "engine/embedding.hpp"

#include <algorithm>
#include <cmath>

namespace mullama::engine {

Status check_embedding(std::span<const float> vector) {
  if (std::ranges::all_of(vector, [](float value) { return std::isfinite(value); })) return {};
  return fail(ErrorCode::internal, "the model's embedding holds values that are not numbers");
}

void cut_embedding(std::vector<float>& vector, std::optional<uint32_t> dimensions) {
  if (dimensions && *dimensions > 0 && *dimensions < vector.size()) vector.resize(*dimensions);
}

void normalize_embedding(std::span<float> vector) {
  double square = 0;
  for (const float value : vector) square += static_cast<double>(value) * value;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  for (float& value : vector) value = static_cast<float>(value * scale);
}

}  // namespace mullama::engine
