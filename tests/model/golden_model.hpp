#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "gguf/file.hpp"
#include "model/definition.hpp"

namespace mullama::model::test {

/// A tiny model and the logits that transformers computes for it. The file format is described in
/// scripts/golden/families.py, which writes it; tensors are made again from their names.
struct GoldenModel {
  std::vector<std::byte> bytes;  ///< The whole GGUF file.
  std::unique_ptr<gguf::File> file;
  Definition definition;  ///< With its rope tables.
  std::vector<int32_t> tokens;
  std::vector<float> logits;  ///< [tokens][vocabulary]
  uint32_t vocabulary = 0;
  bool long_context = false;
};

/// Fails with the reason in the result's error.
[[nodiscard]] Result<GoldenModel> load_golden(const std::filesystem::path& path);

}  // namespace mullama::model::test
