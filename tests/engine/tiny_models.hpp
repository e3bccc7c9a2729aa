#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace mullama::engine::test {

/// A model file of a few hundred kilobytes with random weights and a tokenizer.
struct TinyModel {
  std::string name;
  std::filesystem::path path;
  uint32_t vocabulary = 0;
};

/// Writes one for each family and variant that the golden tests of model/ have.
[[nodiscard]] Result<std::vector<TinyModel>> write_tiny_models(const std::filesystem::path& folder);
/// The one of that name alone ("qwen3").
[[nodiscard]] Result<TinyModel> write_tiny_model(const std::filesystem::path& folder,
                                                 const std::string& name);

}  // namespace mullama::engine::test
