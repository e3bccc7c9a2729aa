#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "server/folder_names.hpp"
#include "server/model_pool.hpp"
#include "server/service.hpp"

namespace mullama::server {

/// What all requests took, for /metrics.
struct ServiceCounters {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> refused{0};  ///< The queue was full or the memory too small.
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> canceled{0};
  std::atomic<uint64_t> prompt_tokens{0};
  std::atomic<uint64_t> reused_tokens{0};
  std::atomic<uint64_t> reused_bytes{0};
  std::atomic<uint64_t> generated_tokens{0};
  std::atomic<uint64_t> prompt_microseconds{0};
  std::atomic<uint64_t> generate_microseconds{0};
};

/// The service on models of this machine.
class LocalService final : public Service {
 public:
  LocalService(ServiceSettings settings, store::Store store, memory::Ledger ledger);

  /// See ModelPool.
  [[nodiscard]] Status watch_expiry() { return pool_.watch_expiry(); }

  Result<std::unique_ptr<Generation>> generate(GenerationRequest request) override;
  Result<Embeddings> embed(EmbedRequest request) override;
  Result<std::vector<text::TokenId>> tokenize(const std::string& model, std::string_view text,
                                              bool add_special, bool parse_special) override;
  Result<std::string> detokenize(const std::string& model, const std::vector<text::TokenId>& tokens) override;
  Result<std::string> token_piece(const std::string& model, text::TokenId token) override;
  Result<std::string> apply_template(const std::string& model, const text::ChatInput& input) override;
  Result<uint32_t> count_tokens(const std::string& model, const text::ChatInput& input) override;
  Result<std::vector<store::ModelEntry>> list() override;
  Result<ModelDescription> show(const std::string& model) override;
  std::vector<RunningModel> running() override { return pool_.running(); }
  Status load(const std::string& model, std::optional<KeepAlive> keep_alive,
              std::optional<uint32_t> num_ctx) override;
  Status unload(const std::string& model) override;
  std::string default_model() override { return pool_.default_model(); }
  const store::Store& store() override { return store_; }
  Result<memory::Reservation> reserve_file_buffer() override;
  std::string for_clients(std::string message) const override {
    return folders_.replace_in(std::move(message));
  }

  [[nodiscard]] const ServiceCounters& counters() const { return counters_; }
  [[nodiscard]] memory::Ledger& ledger() { return pool_.ledger(); }
  /// Of the last requests.
  [[nodiscard]] const ReceiptLog& receipts() const { return pool_.receipts(); }

 private:
  [[nodiscard]] Result<ModelPool::Lease> acquire(const std::string& model);

  store::Store store_;
  FolderNames folders_;
  ServiceCounters counters_;
  ModelPool pool_;
};

}  // namespace mullama::server
