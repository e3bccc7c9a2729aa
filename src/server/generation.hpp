#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory/reservation.hpp"
#include "server/local_service.hpp"
#include "server/model_pool.hpp"
#include "server/service.hpp"
#include "text/chat/answer_reader.hpp"

namespace mullama::server {

/// Takes the steps from what was asked to what the engine runs.
struct PreparedRequest {
  engine::Request request;
  std::unique_ptr<text::AnswerReader> reader;
};
[[nodiscard]] Result<PreparedRequest> prepare_request(LoadedEntry& entry, GenerationRequest& asked);

/// The messages of a conversation that a prompt of at most `limit` tokens can hold: system messages, and the
/// newest others from a user's on. `tokens` counts those of a conversation's prompt. `context_full` if not
/// even the last user's message fits.
[[nodiscard]] Result<text::ChatInput> newest_messages(
    const text::ChatInput& chat, size_t limit,
    const std::function<Result<size_t>(const text::ChatInput&)>& tokens);

/// The conversation behind the model's own system message, unless it has one, and its own first messages.
[[nodiscard]] text::ChatInput with_own_messages(const LoadedEntry& entry, text::ChatInput chat);

/// The tokens of a prompt that a chat template made.
[[nodiscard]] Result<std::vector<text::TokenId>> encode_rendered(const text::Tokenizer& tokenizer,
                                                                 std::string_view prompt);

/// Whether a vocabulary has all of these.
[[nodiscard]] Status check_ids(const text::Tokenizer& tokenizer, std::span<const text::TokenId> ids);

/// An answer by a worker of this process.
class LocalGeneration final : public Generation {
 public:
  LocalGeneration(ModelPool::Lease lease, std::function<bool()> client_gone, ServiceCounters& counters,
                  const FolderNames& folders, std::chrono::steady_clock::time_point since);
  ~LocalGeneration() override;

  /// Queues the request, once.
  [[nodiscard]] Status submit(PreparedRequest prepared);
  Result<std::optional<Delta>> next() override;
  const Summary& summary() const override { return summary_; }
  const std::string& model() const override { return lease_->name; }

 private:
  [[nodiscard]] Status add(const engine::Event& event, Delta& delta);
  [[nodiscard]] Result<std::optional<Delta>> wait();
  [[nodiscard]] Status finish(const engine::Finish& finish, Delta& delta);
  [[nodiscard]] TokenLogProb named(text::TokenId id, float log_prob) const;

  ModelPool::Lease lease_;
  std::shared_ptr<Answer> answer_;
  std::unique_ptr<text::AnswerReader> reader_;
  memory::GrowingReservation memory_;
  uint64_t bytes_a_token_ = 0;  ///< Of what is gathered of the answer, by us and by who asked.
  bool wants_log_probs_ = false;
  std::function<bool()> client_gone_;
  ServiceCounters& counters_;
  const FolderNames& folders_;
  std::chrono::steady_clock::time_point since_;
  Summary summary_;
  std::chrono::steady_clock::time_point last_look_;
  bool ended_ = false;
};

}  // namespace mullama::server
