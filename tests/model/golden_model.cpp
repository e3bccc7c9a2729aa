#include "model/golden_model.hpp"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace mullama::model::test {

namespace {

// The generator of scripts/golden/noise.py.
uint64_t fnv1a(std::string_view text) {
  uint64_t value = 0xCBF29CE484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return value;
}

class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

struct Shape {
  double scale;
  float offset;
};

Shape noise_shape(const gguf::TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  if (name.ends_with("norm.weight")) return {0.25, 1};
  if (name.ends_with(".bias")) return {0.25, 0};
  if (name == "token_embd.weight") return {0.5, 0};
  if (name.ends_with("sinks.weight")) return {1, 0};
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  const double gain = name == "output.weight" ? 3.0 : has(".attn_q") || has(".attn_k") ? 2.0 : 1.4;
  const double columns = static_cast<double>(tensor.shape[0]);
  return {std::exp2(std::round(std::log2(gain * std::sqrt(3.0 / columns)))), 0};
}

void fill(const gguf::TensorInfo& tensor, std::byte* data) {
  SplitMix random(fnv1a(tensor.name));
  if (tensor.type == gguf::TensorType::MXFP4) {
    constexpr size_t kBlockBytes = 17;  // an exponent, then 32 values of 4 bits
    for (size_t i = 0; i < tensor.bytes; ++i) {
      const auto byte = static_cast<uint8_t>(random.next() >> 56);
      data[i] = std::byte(i % kBlockBytes == 0 ? 122 + (byte & 1) : byte);
    }
    return;
  }
  const Shape shape = noise_shape(tensor);
  const auto unit = static_cast<float>(shape.scale / (1 << 23));
  for (uint64_t i = 0; i < tensor.values(); ++i) {
    const auto integer = static_cast<int32_t>(random.next() >> 40) - (1 << 23);
    const float value = static_cast<float>(integer) * unit + shape.offset;
    std::memcpy(data + i * sizeof(value), &value, sizeof(value));
  }
}

/// Takes values off the front of a golden file.
class Cursor {
 public:
  explicit Cursor(std::span<const char> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool take(void* target, size_t bytes) {
    if (bytes > bytes_.size()) return false;
    if (bytes > 0) std::memcpy(target, bytes_.data(), bytes);
    bytes_ = bytes_.subspan(bytes);
    return true;
  }
  template <class T>
  [[nodiscard]] bool take(T& value) {
    return take(&value, sizeof(value));
  }

 private:
  std::span<const char> bytes_;
};

}  // namespace

Result<GoldenModel> load_golden(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> content{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  Cursor cursor(content);
  char magic[8];
  uint32_t header_bytes, extra_values, tokens, flags;
  uint64_t file_bytes;
  GoldenModel model;
  if (!cursor.take(magic) || std::memcmp(magic, "GOLDEN1", 8) != 0 || !cursor.take(header_bytes) ||
      !cursor.take(file_bytes) || !cursor.take(extra_values) || !cursor.take(tokens) ||
      !cursor.take(model.vocabulary) || !cursor.take(flags)) {
    return fail(ErrorCode::corrupt_file, "'{}' is no golden file", path.string());
  }
  model.bytes.resize(file_bytes);
  std::vector<float> extra(extra_values);
  model.tokens.resize(tokens);
  model.logits.resize(size_t{tokens} * model.vocabulary);
  if (!cursor.take(model.bytes.data(), header_bytes) ||
      !cursor.take(extra.data(), extra.size() * sizeof(float)) ||
      !cursor.take(model.tokens.data(), model.tokens.size() * sizeof(int32_t)) ||
      !cursor.take(model.logits.data(), model.logits.size() * sizeof(float))) {
    return fail(ErrorCode::corrupt_file, "'{}' is cut off", path.string());
  }
  model.long_context = (flags & 1) != 0;

  MULLAMA_ASSIGN(gguf::File file, gguf::File::parse(model.bytes, path.stem().string()));
  model.file = std::make_unique<gguf::File>(std::move(file));
  const float* next_extra = extra.data();
  for (const gguf::TensorInfo& tensor : model.file->tensors()) {
    std::byte* const data = model.bytes.data() + tensor.offset;
    if (tensor.name.starts_with("rope_")) {
      std::memcpy(data, next_extra, tensor.bytes);
      next_extra += tensor.values();
    } else {
      fill(tensor, data);
    }
  }
  MULLAMA_ASSIGN(model.definition, define(*model.file));
  MULLAMA_TRY(load_ropes(model.definition));
  return model;
}

}  // namespace mullama::model::test
