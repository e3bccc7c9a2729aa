#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "mullama/mullama.hpp"
#include "store/parameters.hpp"

namespace mullama::cli {

/// The flags about memory and machine that every command with a model shares. What was not given stays empty,
/// so that the environment and the model's own parameters can fill it: flag, then environment, then model.
struct EngineArguments {
  std::optional<uint32_t> ctx_size;
  std::optional<uint32_t> batch_size;
  std::string kv_cache_type;
  std::string kv_cache_type_k;
  std::string kv_cache_type_v;
  bool no_kv_rotate = false;
  uint32_t lookup = 0;
  std::string mmap;   ///< "", "true" or "false"
  std::string mlock;  ///< "", "true", "false" or "require"
  std::optional<int> gpu_layers;
  std::optional<unsigned> threads;
  std::string memory_budget;
  std::string isa;
  std::string pre_tokenizer;

  friend bool operator==(const EngineArguments&, const EngineArguments&) = default;
};

struct EngineParams {
  ModelParams model;
  ContextParams context;
  std::string memory_budget;
};

void add_engine_options(CLI::App& command, EngineArguments& arguments);

/// Resolves and checks; warnings of loading go to standard error.
[[nodiscard]] Result<EngineParams> resolve(const EngineArguments& arguments,
                                           const store::Parameters& defaults);

}  // namespace mullama::cli
