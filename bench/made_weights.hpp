#pragma once

#include <cstddef>
#include <map>
#include <random>
#include <span>
#include <tuple>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "gguf/writer.hpp"

namespace mullama::bench {

/// Random weights of the size that training leaves: matrices from a normal distribution whose width shrinks
/// with the root of the row's length, norms of one, biases near zero. A few rows are drawn and quantized for
/// each type and row length, then repeated from a random row on, so that writing is bound by the disk.
class MadeWeights {
 public:
  explicit MadeWeights(uint64_t seed) : random_(seed) {}

  [[nodiscard]] Status write(const gguf::TensorInfo& tensor, gguf::Writer& writer);

 private:
  struct Rows {
    size_t row_bytes = 0;
    std::vector<std::byte> bytes;
  };
  [[nodiscard]] Result<const Rows*> rows(gguf::TensorType type, uint64_t columns);
  [[nodiscard]] Status write_floats(const gguf::TensorInfo& tensor, gguf::Writer& writer);

  std::mt19937_64 random_;
  std::map<std::pair<gguf::TensorType, uint64_t>, Rows> rows_;
};

}  // namespace mullama::bench
