#include "engine/loaded_model.hpp"

#include <cstring>
#include <utility>

#include "base/byte_size.hpp"
#include "base/checked.hpp"
#include "engine/plan.hpp"

namespace mullama::engine {

Result<std::shared_ptr<LoadedModel>> LoadedModel::load(const std::filesystem::path& path,
                                                       const LoadParams& params, memory::Ledger ledger) {
  std::shared_ptr<LoadedModel> model(new LoadedModel());
  model->ledger_ = std::move(ledger);
  model->params_ = params;
  MULLAMA_ASSIGN(model->file_, gguf::File::open(path));
  if (!params.vocabulary_only) {
    MULLAMA_ASSIGN(model->definition_, model::define(model->file_));
    if (params.gpu_layers != 0 && params.warn) {
      params.warn(fmt::format("--gpu-layers {}: this build has no GPU backend; all layers run on the CPU",
                              params.gpu_layers));
    }
    MULLAMA_ASSIGN(const std::vector<memory::PlanRow> rows,
                   plan_model(model->file_, model->definition_, params));
    MULLAMA_TRY(model->ledger_.fits(rows));
  }
  MULLAMA_ASSIGN(text::Tokenizer tokenizer,
                 text::Tokenizer::create(model->file_, model->ledger_, params.tokenizer));
  model->tokenizer_.emplace(std::move(tokenizer));
  if (params.vocabulary_only) return model;
  MULLAMA_TRY(model->take_weights());
  MULLAMA_TRY(model::load_ropes(model->definition_));
  MULLAMA_ASSIGN(model->backend_, backend::Backend::create(params.backend, model->ledger_));
  return model;
}

LoadedModel::~LoadedModel() = default;

Status LoadedModel::take_weights() {
  if (params_.use_mmap) {
    MULLAMA_ASSIGN(mapped_, ledger_.charge(memory::Pool::weights_mapped, memory::kHost, file_.file_bytes(),
                                           "the mapped model file"));
    return {};
  }
  // One buffer holds every tensor, aligned as in the file; the views of the definition then point into it.
  MULLAMA_ASSIGN(owned_weights_, ledger_.take(memory::Pool::weights, owned_weight_bytes(file_),
                                              memory::Placement::huge, "the model's weights"));
  size_t offset = 0;
  for (const gguf::TensorInfo& tensor : file_.tensors()) {
    std::byte* const copy = owned_weights_.data() + offset;
    std::memcpy(copy, tensor.data, tensor.bytes);
    for (backend::Matrix& matrix : definition_.weights) {
      if (matrix.data >= tensor.data && matrix.data < tensor.data + tensor.bytes)
        matrix.data = copy + (matrix.data - tensor.data);
    }
    offset += round_up(tensor.bytes, kOwnedTensorAlignment);
  }
  return {};
}

uint64_t LoadedModel::weight_bytes() const {
  return params_.use_mmap ? mapped_.bytes() : owned_weights_.size();
}

Status LoadedModel::resize_scratch(uint32_t max_tokens) {
  const uint32_t before = scratch_.max_tokens();
  if (before == max_tokens) return {};
  // The old one goes first: both together were never planned.
  scratch_ = backend::Scratch();
  if (max_tokens == 0) return {};
  auto larger = backend_->make_scratch(definition_.program, definition_.weights, max_tokens, ledger_);
  if (larger) {
    scratch_ = std::move(*larger);
    return {};
  }
  if (before != 0) {
    MULLAMA_ASSIGN(scratch_,
                   backend_->make_scratch(definition_.program, definition_.weights, before, ledger_));
  }
  return tl::unexpected<Error>(std::move(larger).error());
}

Result<LoadedModel::ScratchLease> LoadedModel::lease_scratch(uint32_t max_tokens) {
  const std::lock_guard lock(run_mutex_);
  if (max_tokens > scratch_.max_tokens()) MULLAMA_TRY(resize_scratch(max_tokens));
  leases_.insert(max_tokens);
  ScratchLease lease;
  lease.model_ = shared_from_this();
  lease.max_tokens_ = max_tokens;
  return lease;
}

void LoadedModel::return_lease(uint32_t max_tokens) {
  const std::lock_guard lock(run_mutex_);
  leases_.erase(leases_.find(max_tokens));
  const uint32_t largest = leases_.empty() ? 0 : *leases_.rbegin();
  // A smaller scratch fits where the larger one was; should the system refuse it, the next run says so.
  if (largest < scratch_.max_tokens()) static_cast<void>(resize_scratch(largest));
}

uint64_t LoadedModel::scratch_bytes() const {
  const std::lock_guard lock(run_mutex_);
  return scratch_.buffer().size();
}

Status LoadedModel::run(const backend::Batch& batch, backend::KvStore& kv, std::span<float> output,
                        const std::atomic<bool>* cancel) {
  const std::lock_guard lock(run_mutex_);
  if (scratch_.max_tokens() < batch.tokens.size()) MULLAMA_TRY(resize_scratch(*leases_.rbegin()));
  return backend_->run(definition_.program, definition_.weights, batch, kv, scratch_, output, cancel);
}

LoadedModel::ScratchLease::ScratchLease(ScratchLease&& other) noexcept
    : model_(std::move(other.model_)), max_tokens_(std::exchange(other.max_tokens_, 0)) {}

LoadedModel::ScratchLease& LoadedModel::ScratchLease::operator=(ScratchLease&& other) noexcept {
  std::swap(model_, other.model_);
  std::swap(max_tokens_, other.max_tokens_);
  return *this;
}

LoadedModel::ScratchLease::~ScratchLease() {
  if (model_) model_->return_lease(max_tokens_);
}

}  // namespace mullama::engine
