#pragma once

#include <cstdint>
#include <vector>

#include "backend/kv_store.hpp"
#include "base/result.hpp"
#include "gguf/file.hpp"
#include "memory/pool.hpp"
#include "model/definition.hpp"
#include "sampling/params.hpp"

namespace mullama::engine {

struct LoadParams;

/// What a context is made of.
struct ContextParams {
  uint32_t n_ctx = 0;  ///< KV cells a sequence; 0: min(4096, trained context).
  uint32_t n_batch = 512;
  uint32_t n_sequences = 1;
  uint32_t output_rows = 0;  ///< Rows of logits one step may want; 0: one a sequence, and the drafts.
  uint32_t lookup = 0;       ///< Tokens a step may draft from the text so far, for all sequences; 0: none.
  kernels::KvType key_type = kernels::KvType::f16;
  kernels::KvType value_type = kernels::KvType::f16;
  bool rotate = true;  ///< Hadamard rotation where K or V is quantized.
};

/// Owned tensors start on a cache line.
inline constexpr size_t kOwnedTensorAlignment = 64;
[[nodiscard]] uint64_t owned_weight_bytes(const gguf::File& file);

/// A context's sizes as they follow from its parameters, checked against the model.
struct ContextShape {
  uint32_t n_ctx = 0;
  uint32_t n_batch = 0;
  uint32_t n_sequences = 1;
  uint32_t output_rows = 1;
  uint32_t lookup = 0;
  backend::KvParams kv;
  std::vector<uint32_t> sequence_pages;  ///< For each KV group.
  uint64_t kv_bytes = 0;
  uint64_t page_table_bytes = 0;
  uint64_t sequence_bytes = 0;  ///< Token ids and page lists of all sequences.
  uint64_t output_bytes = 0;
  uint64_t scratch_bytes = 0;
};
[[nodiscard]] Result<ContextShape> shape_context(const model::Definition& definition,
                                                 const ContextParams& params, unsigned threads);

/// Rows of what loading takes, from the very functions the owners allocate with.
[[nodiscard]] Result<std::vector<memory::PlanRow>> plan_model(const gguf::File& file,
                                                              const LoadParams& params);
/// What the contexts of a model share for steps of up to `tokens` tokens.
[[nodiscard]] memory::PlanRow plan_scratch(const model::Definition& definition, uint32_t tokens,
                                           unsigned threads);
/// Rows of what a context takes beside its model. Scratch is shared by the contexts of a model: count it
/// once.
[[nodiscard]] std::vector<memory::PlanRow> plan_context(const model::Definition& definition,
                                                        const ContextShape& shape);
/// What running a model takes beside itself and its context.
struct RunNeeds {
  RunNeeds(sampling::SamplerParams of = {}) : sampler(std::move(of)) {}
  sampling::SamplerParams sampler;      ///< Of each sequence, while it answers.
  std::vector<memory::PlanRow> format;  ///< Of the format that answers must have, while they are made.
  std::vector<memory::PlanRow> runner;  ///< Of who runs it, for as long as it is loaded.
};

/// Rows of what `requests` sequences of a context take beside that while each answers a request: their
/// samplers' memory, which depends on what the request asks for.
[[nodiscard]] std::vector<memory::PlanRow> plan_requests(const model::Definition& definition,
                                                         const ContextShape& shape,
                                                         const sampling::SamplerParams& sampler,
                                                         uint32_t requests);

/// Everything that running one context on one model takes. No two rows count the same byte.
struct Plan {
  ContextShape shape;
  std::vector<memory::PlanRow> model;
  std::vector<memory::PlanRow> context;
  std::vector<memory::PlanRow> requests;

  [[nodiscard]] std::vector<memory::PlanRow> rows() const;
  [[nodiscard]] uint64_t in(memory::Pool pool) const;  ///< Of the host.
  [[nodiscard]] uint64_t total() const;
  /// A fifth more than calculated: what a user should have free.
  [[nodiscard]] uint64_t recommended() const { return total() + total() / 5; }
};

/// From the header alone: neither reads tensor data nor takes memory from the ledger.
[[nodiscard]] Result<Plan> plan_run(const gguf::File& file, const model::Definition& definition,
                                    const LoadParams& load, const ContextParams& context,
                                    const RunNeeds& needs = {});

}  // namespace mullama::engine
