#include "made_weights.hpp"

#include <algorithm>
#include <cmath>

#include "quant/format.hpp"

namespace mullama::bench {

namespace {

constexpr uint64_t kDrawnValues = uint64_t{1} << 21;

}  // namespace

Result<const MadeWeights::Rows*> MadeWeights::rows(gguf::TensorType type, uint64_t columns) {
  const auto [place, is_new] = rows_.try_emplace({type, columns});
  Rows& rows = place->second;
  if (!is_new) return &rows;
  const quant::Format& format = quant::format(type);
  if (format.quantize == nullptr) {
    return fail(ErrorCode::unsupported, "weights of type {} cannot be made: the quantizer does not write it",
                gguf::name(type));
  }
  const uint64_t count = std::max<uint64_t>(1, kDrawnValues / columns);
  std::vector<float> values(count * columns);
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(columns)));
  for (float& value : values) value = normal(random_);
  rows.row_bytes = columns / format.block_values * format.block_bytes;
  rows.bytes.resize(count * rows.row_bytes);
  format.quantize(values.data(), nullptr, rows.bytes.data(), values.size());
  return &rows;
}

Status MadeWeights::write_floats(const gguf::TensorInfo& tensor, gguf::Writer& writer) {
  std::vector<float> values(tensor.values(), 1.0f);
  if (tensor.name.ends_with(".bias") || tensor.name.find("sinks") != std::string_view::npos ||
      tensor.dimensions > 1) {
    std::normal_distribution<float> normal(0, 0.02f);
    for (float& value : values) value = normal(random_);
  }
  return writer.write(std::as_bytes(std::span(values)));
}

Status MadeWeights::write(const gguf::TensorInfo& tensor, gguf::Writer& writer) {
  const bool matrix = tensor.dimensions > 1 && tensor.name.ends_with(".weight");
  if (tensor.type == gguf::TensorType::F32 && (!matrix || tensor.values() < kDrawnValues)) {
    return write_floats(tensor, writer);
  }
  MULLAMA_ASSIGN(const Rows* drawn, rows(tensor.type, tensor.shape[0]));
  const uint64_t count = drawn->bytes.size() / drawn->row_bytes;
  uint64_t left = tensor.values() / tensor.shape[0];
  while (left > 0) {
    const uint64_t first = random_() % count;
    const uint64_t some = std::min(left, count - first);
    MULLAMA_TRY(
        writer.write(std::span(drawn->bytes).subspan(first * drawn->row_bytes, some * drawn->row_bytes)));
    left -= some;
  }
  return {};
}

}  // namespace mullama::bench
