#include "engine/plan.hpp"

#include <algorithm>

#include "backend/backend.hpp"
#include "base/checked.hpp"
#include "base/thread_team.hpp"
#include "engine/kv_pages.hpp"
#include "engine/loaded_model.hpp"
#include "text/tokenizer.hpp"

namespace mullama::engine {

using memory::Buffer;
using memory::Placement;
using memory::PlanRow;
using memory::Pool;

uint64_t owned_weight_bytes(const gguf::File& file) {
  uint64_t total = 0;
  for (const gguf::TensorInfo& tensor : file.tensors())
    total += round_up(tensor.bytes, kOwnedTensorAlignment);
  return total;
}

Result<ContextShape> shape_context(const model::Definition& definition, const ContextParams& params,
                                   unsigned threads) {
  constexpr uint32_t kDefaultContext = 4096;
  constexpr uint32_t kMaxContext = 1u << 30;
  constexpr uint32_t kMaxBatch = 1u << 16;
  constexpr uint32_t kMaxSequences = 4096;
  const uint32_t trained = definition.hparams.context;
  ContextShape shape;
  shape.n_ctx = params.n_ctx == 0 ? std::min(kDefaultContext, trained) : params.n_ctx;
  if (shape.n_ctx > kMaxContext) {
    return fail(ErrorCode::invalid_argument, "a context of {} tokens is too large; at most {} are possible",
                shape.n_ctx, kMaxContext);
  }
  if (params.n_batch == 0 || params.n_batch > kMaxBatch) {
    return fail(ErrorCode::invalid_argument, "a batch of {} tokens is not possible; use 1 to {}",
                params.n_batch, kMaxBatch);
  }
  if (params.n_sequences == 0 || params.n_sequences > kMaxSequences) {
    return fail(ErrorCode::invalid_argument, "{} sequences are not possible; use 1 to {}", params.n_sequences,
                kMaxSequences);
  }
  shape.n_sequences = params.n_sequences;
  // A step never holds more tokens than all sequences together can store.
  shape.n_batch =
      static_cast<uint32_t>(std::min<uint64_t>(params.n_batch, uint64_t{shape.n_ctx} * shape.n_sequences));
  shape.n_batch = std::max(shape.n_batch, shape.n_sequences);
  shape.output_rows = std::min(std::max(params.output_rows, shape.n_sequences), shape.n_batch);
  shape.kv.key_type = params.key_type;
  shape.kv.value_type = params.value_type;
  const auto quantized = [](kernels::KvType type) {
    return type == kernels::KvType::q8_0 || type == kernels::KvType::q4_0;
  };
  shape.kv.rotate = params.rotate && (quantized(params.key_type) || quantized(params.value_type));
  shape.sequence_pages = KvPages::pages_a_sequence(definition.program, shape.n_ctx, shape.n_batch);
  uint64_t list_entries = 0;
  for (const uint32_t pages : shape.sequence_pages) {
    const auto all = checked_mul(pages, shape.n_sequences);
    if (!all || *all >= UINT32_MAX)
      return fail(ErrorCode::invalid_argument, "{} sequences of {} tokens are too many", shape.n_sequences,
                  shape.n_ctx);
    shape.kv.group_pages.push_back(static_cast<uint32_t>(*all));
    list_entries += *all;
  }
  MULLAMA_ASSIGN(shape.kv_bytes, backend::KvStore::bytes_needed(definition.program, shape.kv));
  shape.page_table_bytes = KvPages::bytes_needed(shape.kv.group_pages);
  shape.sequence_bytes = (uint64_t{shape.n_sequences} * shape.n_ctx + list_entries) * sizeof(uint32_t);
  shape.output_bytes = uint64_t{shape.output_rows} *
                       std::max(definition.program.vocabulary, definition.program.embedding_width) *
                       sizeof(float);
  shape.scratch_bytes =
      backend::Backend::scratch_bytes_needed(definition.program, definition.weights, shape.n_batch, threads);
  return shape;
}

Result<std::vector<PlanRow>> plan_model(const gguf::File& file, const model::Definition& definition,
                                        const LoadParams& params) {
  static_cast<void>(definition);
  std::vector<PlanRow> rows;
  if (params.use_mmap) {
    rows.push_back({memory::kHost, Pool::weights_mapped, file.file_bytes(), "the mapped model file"});
  } else {
    rows.push_back({memory::kHost, Pool::weights,
                    Buffer::footprint(owned_weight_bytes(file), Placement::huge), "the model's weights"});
  }
  MULLAMA_ASSIGN(const uint64_t tokenizer, text::Tokenizer::bytes_needed(file));
  rows.push_back({memory::kHost, Pool::tokenizer, tokenizer, "vocabulary indexes"});
  const unsigned threads =
      params.backend.threads == 0 ? ThreadTeam::default_workers() : params.backend.threads;
  rows.push_back(
      {memory::kHost, Pool::threads, backend::Backend::thread_bytes_needed(threads), "thread stacks"});
  return rows;
}

std::vector<PlanRow> plan_context(const ContextShape& shape) {
  const auto row = [](Pool pool, uint64_t bytes, const char* why) {
    return PlanRow{memory::kHost, pool, Buffer::footprint(bytes, Placement::lazy), why};
  };
  return {row(Pool::kv, shape.kv_bytes, "the KV cache"),
          row(Pool::scratch, shape.scratch_bytes, "activations of one step"),
          row(Pool::output, shape.output_bytes, "logits"),
          row(Pool::runtime, shape.page_table_bytes, "the page table of the KV cache"),
          row(Pool::runtime, shape.sequence_bytes, "token ids and page lists")};
}

}  // namespace mullama::engine
