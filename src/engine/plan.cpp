#include "engine/plan.hpp"

#include <algorithm>

#include "backend/backend.hpp"
#include "base/checked.hpp"
#include "base/thread_team.hpp"
#include "engine/kv_pages.hpp"
#include "engine/loaded_model.hpp"
#include "sampling/sampler.hpp"
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
  constexpr uint32_t kMaxLookup = 64;
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
  if (params.lookup > kMaxLookup) {
    return fail(ErrorCode::invalid_argument, "{} drafted tokens a step are not possible; use 0 to {}",
                params.lookup, kMaxLookup);
  }
  shape.n_sequences = params.n_sequences;
  shape.lookup = params.lookup;
  // A step never holds more tokens than all sequences together can store.
  shape.n_batch =
      static_cast<uint32_t>(std::min<uint64_t>(params.n_batch, uint64_t{shape.n_ctx} * shape.n_sequences));
  shape.n_batch = std::max(shape.n_batch, shape.n_sequences);
  shape.output_rows = std::min(std::max(params.output_rows, shape.n_sequences + shape.lookup), shape.n_batch);
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

namespace {

struct TypeBytes {
  gguf::TensorType type;
  uint64_t bytes;
};

/// Bytes of all tensors by type, each rounded up to `alignment`; most bytes first.
std::vector<TypeBytes> bytes_by_type(const gguf::File& file, size_t alignment) {
  std::vector<TypeBytes> all;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    auto row =
        std::find_if(all.begin(), all.end(), [&](const TypeBytes& r) { return r.type == tensor.type; });
    if (row == all.end()) row = all.insert(row, {tensor.type, 0});
    row->bytes += round_up(tensor.bytes, alignment);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return all;
}

/// Weights by type; what `total` has beyond the tensors is named `rest`.
void add_weights(const gguf::File& file, Pool pool, size_t alignment, uint64_t total, std::string_view rest,
                 std::vector<PlanRow>& rows) {
  uint64_t left = total;
  for (const TypeBytes& row : bytes_by_type(file, alignment)) {
    rows.push_back({memory::kHost, pool, row.bytes, fmt::format("{} weights", gguf::name(row.type))});
    left -= row.bytes;
  }
  if (left > 0) rows.push_back({memory::kHost, pool, left, std::string(rest)});
}

/// Keys and values by kind of layer. Alignment between layers and to whole pages goes to the last row.
void add_kv(const model::Definition& definition, const ContextShape& shape, std::vector<PlanRow>& rows) {
  const backend::Program& program = definition.program;
  uint64_t left = Buffer::footprint(shape.kv_bytes, Placement::lazy);
  const auto types = fmt::format("keys {}, values {}", kernels::kv_type_name(shape.kv.key_type),
                                 kernels::kv_type_name(shape.kv.value_type));
  // There is no cache of prompts beside it.
  const std::string_view reuse =
      shape.n_sequences > 1 ? "; those that no sequence holds keep prompts for reuse" : "";
  for (uint32_t g = 0; g < program.kv_groups.size(); ++g) {
    const auto layers = std::count_if(program.kv_layers.begin(), program.kv_layers.end(),
                                      [&](const backend::KvLayer& layer) { return layer.group == g; });
    const uint32_t cells = shape.sequence_pages[g] * backend::kPageTokens;
    const uint32_t window = program.kv_groups[g].window;
    const bool last = g + 1 == program.kv_groups.size();
    const uint64_t bytes =
        last ? left : uint64_t{shape.kv.group_pages[g]} * backend::KvStore::page_bytes(program, shape.kv, g);
    left -= bytes;
    if (bytes == 0) continue;
    const std::string kind =
        window == 0 ? std::string("full attention") : fmt::format("a window of {}", window);
    rows.push_back({memory::kHost, Pool::kv, bytes,
                    fmt::format("{}: {} layers with {}, {} x {} cells{}", types, layers, kind,
                                shape.n_sequences, cells, last ? reuse : "")});
  }
}

}  // namespace

Result<std::vector<PlanRow>> plan_model(const gguf::File& file, const LoadParams& params) {
  std::vector<PlanRow> rows;
  if (params.use_mmap) {
    add_weights(file, Pool::weights_mapped, 1, file.file_bytes(), "the file's header and padding", rows);
  } else {
    add_weights(file, Pool::weights, kOwnedTensorAlignment,
                Buffer::footprint(owned_weight_bytes(file), Placement::huge), "rounding to huge pages", rows);
    rows.push_back({memory::kHost, Pool::runtime, file.header_footprint(), "the file's header"});
  }
  MULLAMA_ASSIGN(const uint64_t tokenizer, text::Tokenizer::bytes_needed(file));
  rows.push_back({memory::kHost, Pool::tokenizer, tokenizer, "vocabulary indexes"});
  const unsigned threads =
      params.backend.threads == 0 ? ThreadTeam::default_workers() : params.backend.threads;
  rows.push_back({memory::kHost, Pool::threads, backend::Backend::thread_bytes_needed(threads),
                  threads == 2 ? std::string("the stack of a thread beside the caller's")
                               : fmt::format("stacks of {} threads beside the caller's", threads - 1)});
  return rows;
}

PlanRow plan_scratch(const model::Definition& definition, uint32_t tokens, unsigned threads) {
  const uint64_t bytes =
      backend::Backend::scratch_bytes_needed(definition.program, definition.weights, tokens, threads);
  return {memory::kHost, Pool::scratch, Buffer::footprint(bytes, Placement::lazy),
          fmt::format("activations of a step of up to {} tokens", tokens)};
}

std::vector<PlanRow> plan_context(const model::Definition& definition, const ContextShape& shape) {
  const auto row = [](Pool pool, uint64_t bytes, std::string why) {
    return PlanRow{memory::kHost, pool, Buffer::footprint(bytes, Placement::lazy), std::move(why)};
  };
  std::vector<PlanRow> rows;
  add_kv(definition, shape, rows);
  rows.push_back(row(Pool::scratch, shape.scratch_bytes,
                     fmt::format("activations of a step of up to {} tokens", shape.n_batch)));
  rows.push_back(
      row(Pool::output, shape.output_bytes,
          fmt::format("{} row{} of logits", shape.output_rows, shape.output_rows == 1 ? "" : "s")));
  rows.push_back(row(Pool::runtime, shape.page_table_bytes, "the page table of the KV cache"));
  rows.push_back(row(Pool::runtime, shape.sequence_bytes, "token ids and page lists"));
  return rows;
}

std::vector<PlanRow> plan_requests(const model::Definition& definition, const ContextShape& shape,
                                   const sampling::SamplerParams& sampler, uint32_t requests) {
  const uint64_t each =
      sampling::SamplerChain::bytes_needed(sampler, definition.program.vocabulary, shape.n_ctx);
  return {{memory::kHost, Pool::output, each * requests,
           requests == 1 ? std::string("candidates of a sampler, while it answers")
                         : fmt::format("candidates of {} samplers, while they answer", requests)}};
}

std::vector<PlanRow> Plan::rows() const {
  std::vector<PlanRow> all = model;
  all.insert(all.end(), context.begin(), context.end());
  all.insert(all.end(), requests.begin(), requests.end());
  return all;
}

uint64_t Plan::in(Pool pool) const {
  uint64_t sum = 0;
  for (const PlanRow& row : rows()) sum += row.pool == pool ? row.bytes : 0;
  return sum;
}

uint64_t Plan::total() const {
  uint64_t sum = 0;
  for (const PlanRow& row : rows()) sum += row.bytes;
  return sum;
}

Result<Plan> plan_run(const gguf::File& file, const model::Definition& definition, const LoadParams& load,
                      const ContextParams& context, const RunNeeds& needs) {
  const unsigned threads = load.backend.threads == 0 ? ThreadTeam::default_workers() : load.backend.threads;
  Plan plan;
  MULLAMA_ASSIGN(plan.shape, shape_context(definition, context, threads));
  MULLAMA_ASSIGN(plan.model, plan_model(file, load));
  plan.context = plan_context(definition, plan.shape);
  plan.model.insert(plan.model.end(), needs.runner.begin(), needs.runner.end());
  plan.requests = plan_requests(definition, plan.shape, needs.sampler, plan.shape.n_sequences);
  plan.requests.insert(plan.requests.end(), needs.format.begin(), needs.format.end());
  return plan;
}

}  // namespace mullama::engine
