#include "engine/loaded_model.hpp"

#include <unordered_map>
#include <utility>

#include "base/byte_size.hpp"
#include "base/checked.hpp"
#include "base/without_exceptions.hpp"
#include "engine/answer_format.hpp"
#include "engine/plan.hpp"

namespace mullama::engine {

Result<std::shared_ptr<LoadedModel>> LoadedModel::load(const std::filesystem::path& path,
                                                       const LoadParams& params, memory::Ledger ledger) {
  return without_exceptions("loading the model", [&]() -> Result<std::shared_ptr<LoadedModel>> {
    std::shared_ptr<LoadedModel> model(new LoadedModel());
    model->ledger_ = std::move(ledger);
    model->params_ = params;
    MULLAMA_TRY(model->open(path));
    return model;
  });
}

Status LoadedModel::open(const std::filesystem::path& path) {
  if (params_.use_mmap || params_.vocabulary_only) {
    MULLAMA_ASSIGN(file_, gguf::File::open(path));
  } else {
    MULLAMA_ASSIGN(file_, gguf::File::open_header(path, ledger_));
  }
  if (params_.vocabulary_only) {
    MULLAMA_ASSIGN(const uint64_t bytes, text::Tokenizer::bytes_needed(file_));
    const memory::PlanRow row{memory::kHost, memory::Pool::tokenizer, bytes, "vocabulary indexes"};
    announced_ = ledger_.announce({&row, 1});
  } else {
    MULLAMA_ASSIGN(definition_, model::define(file_));
    if (params_.gpu_layers != 0 && params_.warn) {
      params_.warn(fmt::format("--gpu-layers {}: this build has no GPU backend; all layers run on the CPU",
                               params_.gpu_layers));
    }
    MULLAMA_TRY(admit());
  }
  MULLAMA_ASSIGN(text::Tokenizer tokenizer, text::Tokenizer::create(file_, ledger_, params_.tokenizer));
  tokenizer_.emplace(std::move(tokenizer));
  if (params_.vocabulary_only) return file_.intact();
  MULLAMA_TRY(take_weights());
  MULLAMA_TRY(model::load_ropes(definition_));
  MULLAMA_TRY(file_.intact());
  MULLAMA_ASSIGN(backend_, backend::Backend::create(params_.backend, ledger_));
  return {};
}

/// Announces what loading will take and refuses what the budget has no room for, before any weight is read.
Status LoadedModel::admit() {
  MULLAMA_ASSIGN(std::vector<memory::PlanRow> rows, plan_model(file_, params_));
  announced_ = ledger_.announce(rows);
  // The header is in the ledger already.
  std::erase_if(rows, [](const memory::PlanRow& row) { return row.pool == memory::Pool::runtime; });
  Status fits = ledger_.fits(rows);
  if (!fits && fits.error().code == ErrorCode::budget_exceeded) {
    return fail(ErrorCode::budget_exceeded,
                "{}; that is the model without a context, so choose a smaller model or quantization",
                fits.error().message);
  }
  return fits;
}

LoadedModel::~LoadedModel() = default;

Status LoadedModel::take_weights() {
  MULLAMA_TRY(params_.use_mmap ? map_weights() : copy_weights());
  return params_.use_mlock ? lock_weights() : Status();
}

Status LoadedModel::map_weights() {
  for (const gguf::File::Mapping& mapping : file_.mappings()) {
    MULLAMA_ASSIGN(
        memory::Charge charge,
        ledger_.charge_mapping(memory::Pool::weights_mapped, mapping.file.bytes(), "the mapped model file"));
    mapped_.push_back(std::move(charge));
    mapping.file.prefer_huge_pages();
  }
  return {};
}

/// One buffer holds every tensor; the definition's matrices then point into it and the file is let go.
Status LoadedModel::copy_weights() {
  MULLAMA_ASSIGN(owned_weights_, ledger_.take(memory::Pool::weights, owned_weight_bytes(file_),
                                              memory::Placement::huge, "the model's weights"));
  std::unordered_map<const gguf::TensorInfo*, const std::byte*> places;
  size_t offset = 0;
  for (const gguf::TensorInfo& tensor : file_.tensors()) {
    const std::span<std::byte> place(owned_weights_.data() + offset, tensor.bytes);
    MULLAMA_TRY(file_.read_tensor(tensor, place));
    places[&tensor] = place.data();
    offset += round_up(tensor.bytes, kOwnedTensorAlignment);
  }
  for (size_t i = 0; i < definition_.weights.size(); ++i) {
    const model::WeightInfo& info = definition_.infos[i];
    definition_.weights[i].data = places.at(info.tensor) + info.offset;
  }
  file_.close_sources();
  return {};
}

Result<memory::LockReport> LoadedModel::lock(std::span<const std::byte> range, memory::LockMode mode) const {
  const memory::LockReport report = memory::lock_range(range, mode);
  if (report.complete()) return report;
  const std::string warning = memory::lock_warning(report);
  if (params_.mlock_required) return fail(ErrorCode::permission, "{}", warning);
  if (params_.warn) params_.warn(warning);
  return report;
}

Status LoadedModel::lock_weights() {
  std::vector<std::span<const std::byte>> ranges;
  for (const gguf::File::Mapping& mapping : file_.mappings()) ranges.push_back(mapping.file.bytes());
  if (owned_weights_.size() > 0) ranges.emplace_back(owned_weights_.data(), owned_weights_.size());
  for (const auto range : ranges) {
    MULLAMA_ASSIGN(const memory::LockReport report, lock(range, memory::LockMode::now));
    lock_report_ += report;
  }
  return {};
}

Result<std::shared_ptr<const sampling::VocabularyTrie>> LoadedModel::vocabulary_trie() {
  const std::lock_guard lock(trie_mutex_);
  if (trie_) return trie_;
  const auto size =
      has_weights() ? definition_.program.vocabulary : static_cast<uint32_t>(tokenizer_->vocab_size());
  MULLAMA_ASSIGN(trie_, make_trie(*tokenizer_, size, ledger_));
  return trie_;
}

uint64_t LoadedModel::weight_bytes() const {
  uint64_t bytes = owned_weights_.size();
  for (const memory::Charge& charge : mapped_) bytes += charge.bytes();
  return bytes;
}

Status LoadedModel::resize_scratch(uint32_t max_tokens) {
  const uint32_t before = scratch_.max_tokens();
  if (before == max_tokens) return {};
  // The old one goes first: both together were never planned.
  scratch_ = backend::Scratch();
  announced_scratch_ = memory::Announcement();
  if (max_tokens == 0) return {};
  const auto make = [&](uint32_t tokens) -> Status {
    const memory::PlanRow row = plan_scratch(definition_, tokens, backend_->threads());
    memory::Announcement announced = ledger_.announce({&row, 1});
    MULLAMA_ASSIGN(scratch_,
                   backend_->make_scratch(definition_.program, definition_.weights, tokens, ledger_));
    announced_scratch_ = std::move(announced);
    return {};
  };
  Status larger = make(max_tokens);
  if (!larger && before != 0) MULLAMA_TRY(make(before));
  return larger;
}

Result<LoadedModel::ScratchLease> LoadedModel::lease_scratch(uint32_t max_tokens) {
  ScratchLease lease;
  {
    const std::lock_guard lock(run_mutex_);
    leases_.insert(max_tokens);
    lease.model_ = shared_from_this();
    lease.max_tokens_ = max_tokens;
  }
  // Whatever fails from here on, the lease takes itself back.
  {
    const std::lock_guard lock(run_mutex_);
    if (max_tokens > scratch_.max_tokens()) MULLAMA_TRY(resize_scratch(max_tokens));
  }
  return lease;
}

void LoadedModel::return_lease(uint32_t max_tokens) {
  const std::lock_guard lock(run_mutex_);
  leases_.erase(leases_.find(max_tokens));
  const uint32_t largest = leases_.empty() ? 0 : *leases_.rbegin();
  if (largest >= scratch_.max_tokens()) return;
  // A smaller scratch fits where the larger one was; should the system refuse it, the next run says so.
  static_cast<void>(without_exceptions("a smaller scratch", [&] { return resize_scratch(largest); }));
}

uint64_t LoadedModel::scratch_bytes() const {
  const std::lock_guard lock(run_mutex_);
  return scratch_.buffer().size();
}

Status LoadedModel::run(const backend::Batch& batch, backend::KvStore& kv, std::span<float> output,
                        const std::atomic<bool>* cancel) {
  const std::lock_guard lock(run_mutex_);
  if (scratch_.max_tokens() < batch.tokens.size()) MULLAMA_TRY(resize_scratch(*leases_.rbegin()));
  MULLAMA_TRY(backend_->run(definition_.program, definition_.weights, batch, kv, scratch_, output, cancel));
  return file_.intact();
}

void LoadedModel::for_each(size_t count, const std::function<void(size_t)>& work) {
  const std::lock_guard lock(run_mutex_);
  backend_->for_each(count, work);
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
