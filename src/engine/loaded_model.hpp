#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "base/result.hpp"
#include "gguf/file.hpp"
#include "memory/ledger.hpp"
#include "memory/lock.hpp"
#include "model/definition.hpp"
#include "sampling/grammar/vocabulary_trie.hpp"
#include "text/tokenizer.hpp"

namespace mullama::engine {

struct LoadParams {
  bool use_mmap = true;
  bool use_mlock = false;
  bool mlock_required = false;
  int gpu_layers = 0;
  bool vocabulary_only = false;
  backend::BackendOptions backend;
  text::TokenizerOptions tokenizer;
  /// Receives one line a warning; may be empty.
  std::function<void(const std::string&)> warn;
};

/// A model ready to run: its file, program, weights, tokenizer and backend. Shared by the contexts made from
/// it, which take turns on one thread team and one scratch buffer.
class LoadedModel : public std::enable_shared_from_this<LoadedModel> {
 public:
  [[nodiscard]] static Result<std::shared_ptr<LoadedModel>> load(const std::filesystem::path& path,
                                                                 const LoadParams& params,
                                                                 memory::Ledger ledger);
  ~LoadedModel();

  [[nodiscard]] const gguf::File& file() const { return file_; }
  [[nodiscard]] const model::Definition& definition() const { return definition_; }
  [[nodiscard]] const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  [[nodiscard]] memory::Ledger& ledger() { return ledger_; }
  [[nodiscard]] const LoadParams& params() const { return params_; }
  [[nodiscard]] bool has_weights() const { return backend_ != nullptr; }
  [[nodiscard]] backend::Backend& backend() { return *backend_; }
  /// The vocabulary as grammars read it: built by the first answer that has one, then kept. Thread-safe.
  [[nodiscard]] Result<std::shared_ptr<const sampling::VocabularyTrie>> vocabulary_trie();
  /// Bytes of the weights, mapped or owned.
  [[nodiscard]] uint64_t weight_bytes() const;
  /// What use_mlock achieved for the weights; nothing asked without it.
  [[nodiscard]] const memory::LockReport& lock_report() const { return lock_report_; }
  /// Locks a part of this model or of its contexts as its parameters ask for. What is short of it is a
  /// warning, or with mlock_required the error `permission`.
  [[nodiscard]] Result<memory::LockReport> lock(std::span<const std::byte> range,
                                                memory::LockMode mode) const;

  /// Keeps the shared scratch at least as large as a batch of `max_tokens` needs, while it lives.
  class ScratchLease {
   public:
    ScratchLease() = default;
    ScratchLease(ScratchLease&& other) noexcept;
    ScratchLease& operator=(ScratchLease&& other) noexcept;
    ScratchLease(const ScratchLease&) = delete;
    ScratchLease& operator=(const ScratchLease&) = delete;
    ~ScratchLease();

   private:
    friend class LoadedModel;
    std::shared_ptr<LoadedModel> model_;
    uint32_t max_tokens_ = 0;
  };
  [[nodiscard]] Result<ScratchLease> lease_scratch(uint32_t max_tokens);
  [[nodiscard]] uint64_t scratch_bytes() const;

  /// Runs one batch; callers of different contexts wait for each other. `corrupt_file` if the mapped file was
  /// cut meanwhile: the model stays unusable, the process does not care.
  [[nodiscard]] Status run(const backend::Batch& batch, backend::KvStore& kv, std::span<float> output,
                           const std::atomic<bool>* cancel);
  /// Work beside run(), which waits meanwhile: see Backend::for_each.
  void for_each(size_t count, const std::function<void(size_t)>& work);

 private:
  LoadedModel() = default;
  Status open(const std::filesystem::path& path);
  Status admit();
  Status take_weights();
  Status map_weights();
  Status copy_weights();
  Status lock_weights();
  Status resize_scratch(uint32_t max_tokens);
  void return_lease(uint32_t max_tokens);

  memory::Ledger ledger_;
  memory::Announcement announced_;
  LoadParams params_;
  gguf::File file_;
  std::vector<memory::Charge> mapped_;
  memory::Buffer owned_weights_;
  memory::LockReport lock_report_;
  std::optional<text::Tokenizer> tokenizer_;
  model::Definition definition_;
  std::unique_ptr<backend::Backend> backend_;

  std::mutex trie_mutex_;
  std::shared_ptr<const sampling::VocabularyTrie> trie_;

  mutable std::mutex run_mutex_;
  memory::Announcement announced_scratch_;
  backend::Scratch scratch_;
  std::multiset<uint32_t> leases_;
};

}  // namespace mullama::engine
