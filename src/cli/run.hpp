#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/answer_printer.hpp"
#include "cli/chat_session.hpp"
#include "cli/engine_options.hpp"
#include "cli/sampling_options.hpp"
#include "sampling/params.hpp"

namespace mullama::cli {

/// How a run answers: set by flags, changed by the interactive prompt's /set.
struct RunSettings {
  EngineArguments engine;
  SamplingArguments sampling;  ///< As given; with the model's own parameters they become `sampler`.
  sampling::SamplerParams sampler;
  std::vector<std::string> stop;
  int32_t max_tokens = -1;
  bool raw = false;
  bool verbose = false;
  bool fit = false;           ///< Context and KV type are chosen by what fits.
  bool grow = false;          ///< A full context is replaced by a larger one, within the budget.
  bool no_daemon = false;     ///< Work in this process although a daemon may have the model.
  bool release_idle = false;  ///< Unused KV pages go back to the system after each answer.
  std::string json_schema;    ///< As in AnswerOptions.
  std::string think;          ///< As in AnswerOptions.
  /// How long a conversation that waits for the user keeps the model in memory; none: as long as it lasts.
  std::optional<std::chrono::milliseconds> keep_alive;
  PrintOptions print;

  [[nodiscard]] AnswerOptions answer_options() const;
};

/// A conversation with the model in a daemon that has it in memory; else, or where the settings are about
/// memory and machine, with one that is found and loaded here, if the memory budget admits it.
[[nodiscard]] Result<std::unique_ptr<ChatSession>> open_session(const std::string& name,
                                                                const RunSettings& settings, bool quiet);

/// Asks, prints the answer as it comes and what --verbose wants; throws MullamaError.
Answer ask_and_print(ChatSession& session, const std::string& text, const RunSettings& settings);

/// What `--format` and `/set format` take: "json", or a file with a JSON Schema, whose text is the result.
[[nodiscard]] Result<std::string> read_format(const std::string& format);

/// Whether `--think` and `/set think` take this as AnswerOptions::think, and the model can do it.
[[nodiscard]] Status check_think(ChatSession& session, const std::string& think);

/// Answers `first` if there is one, then what the user types, until /bye or Ctrl-D. Returns the exit code.
[[nodiscard]] Result<int> run_repl(std::unique_ptr<ChatSession> session, RunSettings settings,
                                   const std::string& first);

}  // namespace mullama::cli
