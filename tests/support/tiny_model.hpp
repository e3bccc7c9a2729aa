#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"

namespace mullama::test {

/// A small model with a byte vocabulary, random weights and everything a real file has. Its answers mean
/// nothing, but they depend on every token before them.
struct TinyModel {
  std::string architecture = "llama";  ///< "llama" or "gemma3" (windows of `window` in five of six layers).
  uint32_t layers = 3;
  uint32_t embedding = 128;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t feed_forward = 256;
  uint32_t context = 2048;
  uint32_t window = 64;
  gguf::TensorType type = gguf::TensorType::Q8_0;
  uint64_t seed = 1;
  std::string chat_template;        ///< Empty: the file has none.
  std::optional<uint32_t> pooling;  ///< `pooling_type`: 1 mean, 2 first, 3 last.

  [[nodiscard]] Status write(const std::filesystem::path& path) const;
};

/// A folder that is removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace mullama::test
