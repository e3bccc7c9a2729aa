#pragma once

#include <memory>
#include <optional>

#include "cli/chat_session.hpp"
#include "server/client.hpp"

namespace mullama::cli {

/// A conversation with a model that a daemon has in memory. The daemon's weights and KV cache answer; of this
/// process nothing but the conversation is left behind when it ends.
class DaemonSession final : public ChatSession {
 public:
  /// None if no daemon runs that has this model in memory, or if it does not let us in. A model that our
  /// store knows by that name must be the same one. `name` is never a path.
  [[nodiscard]] static std::unique_ptr<DaemonSession> find(const std::string& name);

  void clear() override;
  /// The daemon's cache is not ours to give back.
  void release_idle() override {}
  /// Less than the daemon has; more would load the model anew for everyone, and is refused.
  void resize(std::uint32_t n_ctx) override;
  /// The daemon's model is not ours to unload.
  void unload() override {}
  [[nodiscard]] std::uint32_t context_size() override { return n_ctx_.value_or(daemon_ctx_); }
  [[nodiscard]] bool supports_thinking() override { return thinks_; }
  [[nodiscard]] std::string statistics(const Answer& answer) const override;
  [[nodiscard]] nlohmann::json document(const Answer& answer) const override;
  [[nodiscard]] std::string address() const { return address_.text(); }

 protected:
  Answer answer(const nlohmann::json& messages, const std::string& text, const AnswerOptions& options,
                const Sink& sink) override;

 private:
  DaemonSession(store::StoredModel model, store::ModelTexts texts, server::DaemonAddress address)
      : ChatSession(std::move(model), std::move(texts)), address_(std::move(address)) {}
  /// What the daemon says of the model now; an empty object if it does not.
  [[nodiscard]] nlohmann::json state() const;

  server::DaemonAddress address_;
  int pid_ = 0;
  std::uint32_t daemon_ctx_ = 0;
  std::optional<std::uint32_t> n_ctx_;
  bool thinks_ = false;
  std::string transcript_;  ///< Of continuations without a template.
};

}  // namespace mullama::cli
