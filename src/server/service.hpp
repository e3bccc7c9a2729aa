#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "engine/engine.hpp"
#include "memory/reservation.hpp"
#include "sampling/parameter_table.hpp"
#include "sampling/params.hpp"
#include "store/details.hpp"
#include "store/store.hpp"
#include "text/chat/answer_reader.hpp"
#include "text/chat/chat_template.hpp"
#include "text/token_id.hpp"

namespace mullama::server {

/// How long a model stays in memory after its last use: a number of seconds, or forever.
struct KeepAlive {
  static constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();
  std::chrono::nanoseconds after{std::chrono::minutes(5)};
  /// A Go duration ("5m", "1h30m", "-1s"), a number of seconds as text, or a JSON number; negative is
  /// forever, 0 unloads at once.
  [[nodiscard]] static Result<KeepAlive> parse(std::string_view text);
  [[nodiscard]] static Result<KeepAlive> from_json(const nlohmann::ordered_json& value);
};

/// A text to go on from as it is.
struct TextPrompt {
  std::string text;
  bool add_special = true;    ///< The begin-of-sequence token where the model wants one.
  bool parse_special = true;  ///< Texts of control tokens become the tokens.
};
using Prompt = std::variant<TextPrompt, text::ChatInput, std::vector<text::TokenId>>;

/// What the answer must look like.
struct OutputFormat {
  enum class Kind : uint8_t { none, json, schema, gbnf, tool_call };
  Kind kind = Kind::none;
  nlohmann::ordered_json schema;  ///< Of Kind::schema.
  std::string grammar;            ///< Of Kind::gbnf.
  nlohmann::ordered_json tools;   ///< Of Kind::tool_call: the definitions of those that may be called.
};

/// Whether a model that can think does so. `level` is what a template may take in place of a switch.
struct Think {
  bool on = false;
  std::string level;  ///< "", "low", "medium" or "high"
};

/// What every wire format asks for.
struct GenerationRequest {
  std::string model;
  Prompt prompt;
  /// Text behind the gap that the answer fills, for models that can; the prompt is then a TextPrompt.
  std::string suffix;
  std::string chat_template;  ///< In place of the model's own for this request; empty: none.
  /// Token ids that come first, such as Ollama's `context`; a text then gets no begin-of-sequence token.
  std::vector<text::TokenId> context;
  /// The wire format's own defaults; the model's parameters and then `options` change them.
  sampling::SamplerParams sampler;
  /// Sampling parameters that the client set, by their names in sampling/parameter_table.hpp.
  std::vector<std::pair<std::string, sampling::ParameterValue>> options;
  /// Names of options that mean nothing here, for the log: at most kNamedUnknownOptions, cut to
  /// kNamedOptionBytes.
  std::vector<std::string> unknown_options;
  static constexpr size_t kNamedUnknownOptions = 8;
  static constexpr size_t kNamedOptionBytes = 64;
  std::optional<int32_t> max_tokens;  ///< -1: until the end or a full context; none: the model's own choice.
  std::vector<std::string> stop;      ///< Beside those of the model's parameters.
  OutputFormat format;
  int32_t top_logprobs = -1;  ///< -1: none; 0: of the chosen tokens; up to 20 alternatives.
  std::optional<KeepAlive> keep_alive;
  std::optional<Think> think;  ///< None: as the model does by itself.
  std::optional<uint32_t> num_ctx;
  /// A prompt that is too long loses its oldest messages, or the text behind its first num_keep tokens; the
  /// receipt tells how many tokens. Else it is `context_full`.
  bool truncate = false;
  /// When the context is full, the older half behind the first num_keep tokens is forgotten and the answer
  /// goes on; the receipt tells. Else the answer ends there.
  bool shift = false;
  uint32_t num_keep = 4;
  /// Asked about ten times a second while there is nothing to tell; true ends the request.
  std::function<bool()> client_gone;
};

struct TokenLogProb {
  text::TokenId id = 0;
  std::string text;  ///< The token's bytes, which may be part of a character.
  float log_prob = 0;
};
struct ChosenToken {
  TokenLogProb chosen;
  std::vector<TokenLogProb> top;  ///< Most likely first.
};

/// A piece of an answer. Any of its members may be empty.
struct Delta {
  std::string text;
  std::string thinking;
  std::vector<text::ToolCall> tool_calls;  ///< Whole ones.
  std::vector<ChosenToken> tokens;         ///< If logprobs were asked for.
};

/// How an answer ended and what it took.
struct Summary {
  engine::FinishReason reason = engine::FinishReason::stop;
  std::string stop_string;
  bool called_tools = false;
  uint64_t seed = 0;
  uint32_t prompt_tokens = 0;
  uint32_t prompt_reused = 0;  ///< Of them found in the cache.
  uint32_t generated = 0;
  double load_seconds = 0;  ///< Until the model was there; 0 if it was.
  double queue_seconds = 0;
  double prompt_seconds = 0;
  double generate_seconds = 0;
  double total_seconds = 0;
  engine::Receipt receipt;
  /// The prompt's tokens and the answer's: what Ollama calls `context`.
  std::vector<text::TokenId> tokens;
};

/// A running answer. Its destructor cancels what still runs, and its pages are free before the next step.
class Generation {
 public:
  virtual ~Generation() = default;
  /// Waits for the next piece; none after the last, when summary() is complete. A client that has gone is the
  /// error `canceled`.
  [[nodiscard]] virtual Result<std::optional<Delta>> next() = 0;
  [[nodiscard]] virtual const Summary& summary() const = 0;
  /// The model's full name, "smollm2:135m".
  [[nodiscard]] virtual const std::string& model() const = 0;
};

/// A text, or token ids as they are.
struct EmbedInput {
  EmbedInput(std::string from) : text(std::move(from)) {}
  explicit EmbedInput(std::vector<text::TokenId> from) : ids(std::move(from)) {}
  std::string text;
  std::vector<text::TokenId> ids;  ///< In place of the text, if there are any.
};
struct EmbedRequest {
  std::string model;
  std::vector<EmbedInput> inputs;
  bool truncate = true;  ///< Longer inputs lose their end; else they are `invalid_argument`.
  std::optional<uint32_t> dimensions;
  std::optional<KeepAlive> keep_alive;
  std::optional<uint32_t> num_ctx;
  std::function<bool()> client_gone;
};
struct Embeddings {
  std::string model;
  std::vector<std::vector<float>> vectors;  ///< Of length 1.
  uint32_t prompt_tokens = 0;
  uint64_t tokens_cut = 0;  ///< Of inputs that were too long.
  double load_seconds = 0;
  double total_seconds = 0;
  std::optional<memory::GrowingReservation> memory;  ///< What the vectors and their reply take.
};

/// A model as it lies in the store.
struct ModelDescription {
  store::StoredModel stored;
  store::ModelTexts texts;
  store::ModelSummary summary;
  std::string chat_template;
  std::vector<std::string> capabilities;  ///< completion, tools, insert, embedding, thinking
  nlohmann::ordered_json model_info;      ///< The file's metadata; long arrays are left out.
};

/// A model in memory.
struct RunningModel {
  std::string name;
  std::string digest;  ///< 64 hexadecimal characters, or empty for a loose file.
  store::ModelSummary summary;
  std::optional<std::chrono::system_clock::time_point> expires_at;  ///< None: stays.
  uint32_t context_size = 0;
  uint32_t parallel = 0;
  size_t running = 0;
  size_t waiting = 0;
  uint64_t weight_bytes = 0;
  uint64_t kv_bytes = 0;       ///< Reserved.
  uint64_t kv_bytes_used = 0;  ///< Held by sequences.
  uint64_t cache_bytes = 0;    ///< KV pages kept for reuse by no sequence.
  uint64_t cache_limit = 0;    ///< Bytes that may be kept so.
  uint64_t total_bytes = 0;    ///< All that unloading gives back.
  uint64_t pages_evicted = 0;  ///< KV pages that made room for others.
  std::vector<memory::PlanRow> plan;
  std::string key_type;
  std::string value_type;
  struct Slot {
    uint32_t id = 0;
    bool running = false;
    uint64_t request = 0;
    uint32_t tokens = 0;
    uint32_t computed = 0;
    uint32_t generated = 0;
  };
  std::vector<Slot> slots;
};

/// Everything that the wire formats need. Thread-safe.
class Service {
 public:
  virtual ~Service() = default;

  /// Loads the model if needed and queues the request. `unavailable` if the queue is full, `not_found`,
  /// `budget_exceeded` with the plan, `context_full` for a prompt that is too long.
  [[nodiscard]] virtual Result<std::unique_ptr<Generation>> generate(GenerationRequest request) = 0;
  [[nodiscard]] virtual Result<Embeddings> embed(EmbedRequest request) = 0;

  [[nodiscard]] virtual Result<std::vector<text::TokenId>> tokenize(const std::string& model,
                                                                    std::string_view text, bool add_special,
                                                                    bool parse_special) = 0;
  [[nodiscard]] virtual Result<std::string> detokenize(const std::string& model,
                                                       const std::vector<text::TokenId>& tokens) = 0;
  /// The bytes of one token.
  [[nodiscard]] virtual Result<std::string> token_piece(const std::string& model, text::TokenId token) = 0;
  /// The prompt that a conversation becomes.
  [[nodiscard]] virtual Result<std::string> apply_template(const std::string& model,
                                                           const text::ChatInput& input) = 0;
  /// Tokens of that prompt.
  [[nodiscard]] virtual Result<uint32_t> count_tokens(const std::string& model,
                                                      const text::ChatInput& input) = 0;

  /// Every model of the store, newest first.
  [[nodiscard]] virtual Result<std::vector<store::ModelEntry>> list() = 0;
  [[nodiscard]] virtual Result<ModelDescription> show(const std::string& model) = 0;
  [[nodiscard]] virtual std::vector<RunningModel> running() = 0;
  /// Brings a model into memory, or changes how long it stays.
  [[nodiscard]] virtual Status load(const std::string& model, std::optional<KeepAlive> keep_alive,
                                    std::optional<uint32_t> num_ctx) = 0;
  /// Takes a model out of memory when its requests are done; not an error if it is not there.
  [[nodiscard]] virtual Status unload(const std::string& model) = 0;
  /// The model to use where a request names none: the first of --model, or the only one loaded.
  [[nodiscard]] virtual std::string default_model() = 0;

  [[nodiscard]] virtual const store::Store& store() = 0;
  /// For what a file of the store holds back while it is written; one file is written at a time.
  [[nodiscard]] virtual Result<memory::Reservation> reserve_file_buffer() = 0;
  /// An error's message as clients may read it: without the folders of this machine.
  [[nodiscard]] virtual std::string for_clients(std::string message) const { return message; }
};

}  // namespace mullama::server
