#pragma once

/// The C++ API of Mullama: models, contexts, generation, memory.
///
///   mullama::Model model = mullama::Model::load("model.gguf");
///   mullama::Context context(model, {.n_ctx = 2048});
///   std::cout << context.generate("Once upon a time", 50);
///
/// Types own what they name and are move-only, except Model, whose copies share one loaded model: contexts
/// keep theirs alive. Constructors and functions throw MullamaError or one of its kinds. Different contexts
/// may be used from different threads at once, also on one model; one context serves one thread at a time,
/// except Context::cancel().

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(_WIN32)
#define MULLAMA_API
#else
#define MULLAMA_API __attribute__((visibility("default")))
#endif

namespace mullama {

using Token = std::int32_t;

/// What kind of failure a MullamaError reports; the values are stable and those of the C API.
enum class StatusCode : int {
  ok = 0,
  invalid_argument = 1,
  not_found = 2,
  corrupt_file = 3,
  unsupported = 4,
  io = 5,
  budget_exceeded = 6,
  out_of_memory = 7,
  gpu_out_of_memory = 8,
  context_full = 9,
  canceled = 10,
  permission = 11,
  unavailable = 12,
  download = 13,
  timeout = 14,
  internal = 15,
};

class MULLAMA_API MullamaError : public std::runtime_error {
 public:
  MullamaError(StatusCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ~MullamaError() override;
  [[nodiscard]] StatusCode code() const noexcept { return code_; }

 private:
  StatusCode code_;
};

/// A device has no memory left for what was asked.
class MULLAMA_API GpuMemoryError : public MullamaError {
 public:
  explicit GpuMemoryError(const std::string& message)
      : MullamaError(StatusCode::gpu_out_of_memory, message) {}
  ~GpuMemoryError() override;
};

/// The host's memory, or the budget given for it, does not suffice.
class MULLAMA_API MemoryError : public MullamaError {
 public:
  using MullamaError::MullamaError;
  ~MemoryError() override;
};

enum class KvCacheType { F32, F16, BF16, Q8_0, Q4_0 };

/// "f32", "f16", "bf16", "q8_0", "q4_0"; from_string throws naming the valid set.
[[nodiscard]] MULLAMA_API std::string_view to_string(KvCacheType type);
[[nodiscard]] MULLAMA_API KvCacheType kv_cache_type_from_string(std::string_view name);

struct ModelParams {
  bool use_mmap = true;         ///< Map the file; else copy the weights into memory of our own.
  bool use_mlock = false;       ///< Lock weights and KV cache in memory, as far as the limit allows.
  bool mlock_required = false;  ///< Fail the load if not everything can be locked.
  int n_gpu_layers = 0;    ///< Layers to offload; -1 is all. Without a GPU backend: a warning, then the CPU.
  unsigned n_threads = 0;  ///< 0: as many as this process may use.
  std::string isa{};       ///< "scalar", "avx2", ...; empty: MULLAMA_ISA, else the fastest that runs here.
  std::string pre_tokenizer{};  ///< Overrides the file's tokenizer.ggml.pre.
  bool vocab_only = false;      ///< Tokenizer and metadata without weights.
  /// Receives one line a warning (GPU layers without a GPU, locked bytes short of those asked); default:
  /// stderr.
  std::function<void(const std::string&)> on_warning{};
};

struct ContextParams {
  std::uint32_t n_ctx = 0;      ///< KV cells a sequence; 0: min(4096, trained context).
  std::uint32_t n_batch = 512;  ///< Tokens computed at once while reading a prompt.
  KvCacheType kv_cache_type = KvCacheType::F16;
  std::optional<KvCacheType> kv_cache_type_v{};  ///< For values, if not as for keys.
  bool kv_rotate = true;                         ///< Hadamard rotation before quantizing to q8_0 or q4_0.
  std::uint32_t n_sequences = 1;                 ///< Sequences that may run together, each with n_ctx cells.
  /// Tokens that a step may guess from the text so far and compute at once (prompt lookup); 0: none. Answers
  /// are the same, and sooner there where they repeat what came before. Each takes a row of logits.
  std::uint32_t lookup = 0;
  /// Whether an answer or a prompt that fills the context goes on in a larger one, as far as the model was
  /// trained and the budget reaches: with a smaller batch, then with keys and values in q8_0, then in q4_0,
  /// where nothing less makes room. Each step is told as one line to ModelParams::on_warning and in the
  /// receipt; the tokens so far are computed again.
  bool grow = false;
};

/// How the next token is chosen. Names and defaults as users of this field know them.
struct SamplerParams {
  std::optional<std::uint64_t> seed{};  ///< None: a random one, reported with the result.
  float temperature = 0.8f;             ///< 0: always the most likely token.
  float dynamic_temperature_range = 0;
  float dynamic_temperature_exponent = 1;
  std::int32_t top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  float typical_p = 1;
  float xtc_probability = 0;
  float xtc_threshold = 0.1f;
  float repeat_penalty = 1;
  std::int32_t repeat_last_n = 64;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  float dry_multiplier = 0;
  float dry_base = 1.75f;
  std::int32_t dry_allowed_length = 2;
  std::int32_t dry_penalty_last_n = -1;
  std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};
  std::int32_t mirostat = 0;
  float mirostat_tau = 5;
  float mirostat_eta = 0.1f;
  std::vector<std::pair<Token, float>> logit_bias{};
  std::string
      order{};  ///< "penalties;dry;top_k;typical_p;top_p;min_p;xtc;temperature"; empty: the default order.

  [[nodiscard]] static SamplerParams greedy() {
    SamplerParams params;
    params.temperature = 0;
    return params;
  }
};

enum class FinishReason { stop, length, canceled, context_full };
[[nodiscard]] MULLAMA_API std::string_view to_string(FinishReason reason);

/// One piece of a streamed answer.
struct StreamToken {
  Token id = -1;
  std::string text;   ///< Complete UTF-8 characters; may be empty while one is unfinished or a stop string is
                      ///< possible.
  float logprob = 0;  ///< Natural logarithm of the token's probability before the sampler chain.
};

struct GenerateOptions {
  std::int32_t max_tokens = -1;  ///< -1: until the model stops or the context is full.
  SamplerParams sampler{};
  std::vector<std::string> stop{};
  bool ignore_end_of_generation = false;
  bool parse_special = true;    ///< Whether special tokens in the prompt's text are parsed.
  bool render_special = false;  ///< Whether the texts of special tokens are part of the answer's text.
  std::string grammar{};        ///< GBNF; empty: none.
  std::string json_schema{};    ///< A JSON Schema, or "json" for any JSON value; empty: none.
  /// For chat(): a JSON object of further variables of the template, such as {"enable_thinking": false}.
  std::string chat_variables{};
};

/// What one request took.
struct Receipt {
  std::uint64_t kv_bytes = 0;      ///< KV pages the sequence holds at its end.
  std::uint64_t peak_scratch = 0;  ///< Largest working memory of its steps.
  std::uint64_t prefix_bytes_reused = 0;
  std::uint64_t pages_evicted = 0;
  std::uint64_t tokens_cut = 0;       ///< Always 0: nothing is cut silently.
  std::uint64_t context_growths = 0;  ///< Times that a larger context took over (ContextParams::grow),
  std::uint64_t kv_demotions = 0;     ///< and of them those with keys or values in a smaller type.
};

struct GenerateResult {
  std::string text;
  std::vector<Token> tokens;
  FinishReason finish_reason = FinishReason::stop;
  std::uint64_t seed = 0;
  std::uint32_t prompt_tokens = 0;     ///< Tokens of the prompt, reused ones included.
  std::uint32_t prompt_evaluated = 0;  ///< Those that were computed.
  std::uint32_t generated_tokens = 0;
  std::uint32_t drafted_tokens = 0;   ///< Guessed by ContextParams::lookup,
  std::uint32_t accepted_tokens = 0;  ///< and of them those that were right.
  double prompt_seconds = 0;
  double generate_seconds = 0;
  Receipt receipt;
};

/// What backs memory at this moment, as the operating system says. Bytes.
struct Residency {
  std::uint64_t mapped = 0;     ///< Address space.
  std::uint64_t resident = 0;   ///< In memory: a share of the process's RSS.
  std::uint64_t clean = 0;      ///< Resident pages equal to their file, given back without a write.
  std::uint64_t anonymous = 0;  ///< Resident pages of no file: only swap could take them.
  std::uint64_t locked = 0;     ///< Resident pages of locked mappings: achieved, not asked.
  std::uint64_t swapped = 0;
};

/// One pool of one device in the account book.
struct PoolUsage {
  std::string device;
  std::string pool;
  std::uint64_t bytes = 0;
  std::uint64_t peak = 0;
  std::uint64_t planned = 0;  ///< What the plan said before the bytes were taken.
  Residency residency;        ///< Of host memory; zeros where the system does not tell.
};

/// Memory behind one context: its own, its model's, and what they share. Bytes.
struct MemoryInfo {
  std::uint64_t model_size = 0;       ///< Weights, mapped or owned.
  std::uint64_t kv_cache_size = 0;    ///< KV cache of this context, reserved in full.
  std::uint64_t token_count = 0;      ///< Tokens in the context.
  std::uint64_t context_size = 0;     ///< Cells of the context.
  std::uint64_t total_allocated = 0;  ///< model_size + kv_cache_size + working buffers.
  std::uint64_t kv_cache_used = 0;    ///< Bytes of KV pages in use.
  std::uint64_t scratch_size = 0;     ///< Shared by the contexts of a model.
  std::uint64_t output_size = 0;
  std::uint64_t tokenizer_size = 0;
  KvCacheType key_type = KvCacheType::F16;  ///< Really in use.
  KvCacheType value_type = KvCacheType::F16;
  std::uint64_t lock_asked = 0;     ///< What use_mlock was to lock of weights and KV cache, ...
  std::uint64_t lock_achieved = 0;  ///< ... and did; KV pages are locked as they come into use.
  std::vector<PoolUsage> pools;     ///< The whole process.
  Residency residency;              ///< The whole process; zeros where the system does not tell.
  std::uint64_t unaccounted = 0;    ///< Sum over pools of |bytes - planned|: 0 while nothing loads.
  std::uint64_t beyond_pools = 0;   ///< Resident bytes in no pool: program code, heap, stacks.
};

class Context;

/// How the rows of a text's tokens become one embedding.
enum class Pooling {
  mean,   ///< The average over all tokens.
  first,  ///< The first token's row.
  last,   ///< The last token's row.
};

class MULLAMA_API Model {
 public:
  [[nodiscard]] static Model load(const std::string& path);
  [[nodiscard]] static Model load_with_params(const std::string& path, const ModelParams& params);

  [[nodiscard]] std::vector<Token> tokenize(std::string_view text, bool add_special = true,
                                            bool parse_special = false) const;
  [[nodiscard]] std::string detokenize(std::span<const Token> tokens, bool render_special = false) const;
  /// Bytes of one token; may be part of a character.
  [[nodiscard]] std::string token_piece(Token token, bool render_special = true) const;

  /// `messages`, and `tools` if not empty, are JSON arrays in OpenAI's shape; the result is the prompt's
  /// text. `variables_json` is as in GenerateOptions::chat_variables.
  [[nodiscard]] std::string apply_chat_template(std::string_view messages_json,
                                                bool add_generation_prompt = true,
                                                std::string_view tools_json = {},
                                                std::string_view variables_json = {}) const;

  [[nodiscard]] std::string architecture() const;
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::uint32_t vocab_size() const;
  [[nodiscard]] std::uint32_t n_layer() const;
  [[nodiscard]] std::uint32_t n_embd() const;
  [[nodiscard]] std::uint32_t n_ctx_train() const;
  [[nodiscard]] std::uint64_t parameter_count() const;
  [[nodiscard]] std::uint64_t size_bytes() const;
  [[nodiscard]] std::optional<Token> bos() const;
  [[nodiscard]] std::optional<Token> eos() const;
  [[nodiscard]] bool is_end_of_generation(Token token) const;
  /// Metadata as text, by key.
  [[nodiscard]] std::optional<std::string> metadata(std::string_view key) const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> all_metadata() const;

  Model(const Model&);
  Model(Model&&) noexcept;
  Model& operator=(const Model&);
  Model& operator=(Model&&) noexcept;
  ~Model();

  struct Impl;
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  explicit Model(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

/// Collects load options, then loads.
class MULLAMA_API ModelBuilder {
 public:
  explicit ModelBuilder(std::string path) : path_(std::move(path)) {}
  ModelBuilder& with_use_mmap(bool on) { return params_.use_mmap = on, *this; }
  ModelBuilder& with_use_mlock(bool on) { return params_.use_mlock = on, *this; }
  ModelBuilder& with_n_gpu_layers(int layers) { return params_.n_gpu_layers = layers, *this; }
  ModelBuilder& with_n_threads(unsigned threads) { return params_.n_threads = threads, *this; }
  [[nodiscard]] Model build() const { return Model::load_with_params(path_, params_); }

 private:
  std::string path_;
  ModelParams params_;
};

/// An answer under way, token by token. Destroying it stops the answer. Its context may do nothing else
/// meanwhile, but for cancel() and the functions that only tell about it.
class MULLAMA_API TokenStream {
 public:
  TokenStream(TokenStream&&) noexcept;
  TokenStream& operator=(TokenStream&&) noexcept;
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;
  ~TokenStream();

  /// The next piece; nothing once the answer has ended. Errors of the answer are thrown here, once.
  [[nodiscard]] std::optional<StreamToken> next();
  /// Computes one step towards the next piece: a chunk of the prompt, or a token. True when next() can return
  /// without computing.
  [[nodiscard]] bool poll();
  /// Ends the answer now; its result says canceled.
  void stop();
  /// What the answer took; throws before the end.
  [[nodiscard]] const GenerateResult& result() const;

  struct Impl;

 private:
  friend class Context;
  explicit TokenStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// One conversation's state: its tokens and their KV cache. Without clear(), the next generate() continues
/// the text.
class MULLAMA_API Context {
 public:
  explicit Context(const Model& model, const ContextParams& params = {});
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  /// Continues the raw text `prompt`.
  std::string generate(std::string_view prompt, std::int32_t max_tokens = -1);
  GenerateResult generate(std::string_view prompt, const GenerateOptions& options);
  /// Calls `on_token` for each piece; returning false stops the answer.
  GenerateResult generate_stream(std::string_view prompt, const GenerateOptions& options,
                                 const std::function<bool(const StreamToken&)>& on_token);
  /// The same from token ids, which are checked against the vocabulary.
  GenerateResult generate_tokens(std::span<const Token> prompt, const GenerateOptions& options,
                                 const std::function<bool(const StreamToken&)>& on_token = nullptr);

  /// Answers the conversation `messages_json` (OpenAI's shape) with the model's chat template; the part of
  /// the prompt that the context already holds is not computed again. A grammar or a schema holds for what
  /// follows the thought of a model that thinks first.
  GenerateResult chat(std::string_view messages_json, const GenerateOptions& options,
                      const std::function<bool(const StreamToken&)>& on_token = nullptr);

  /// The same three, for callers that ask for each token when they want it.
  [[nodiscard]] TokenStream stream(std::string_view prompt, const GenerateOptions& options = {});
  [[nodiscard]] TokenStream stream_tokens(std::span<const Token> prompt, const GenerateOptions& options = {});
  [[nodiscard]] TokenStream stream_chat(std::string_view messages_json, const GenerateOptions& options = {});

  /// The embedding of a text: [n_embd], of length 1 if `normalize`. The context is cleared.
  [[nodiscard]] std::vector<float> embed(std::string_view text, Pooling pooling = Pooling::mean,
                                         bool normalize = true);

  /// Appends tokens and returns the logits after the last one: [vocab_size], valid until the next call.
  std::span<const float> evaluate(std::span<const Token> tokens);

  /// Starts over without reallocating.
  void clear();
  /// Makes a running generation in another thread end after its current step.
  void cancel() noexcept;
  /// Gives the physical memory of unused KV pages back to the system.
  void release_idle();

  /// These four may be called while another thread generates; counts are those after the last step. With
  /// ContextParams::grow the sizes change while it does.
  [[nodiscard]] MemoryInfo memory_info() const;
  [[nodiscard]] std::uint32_t token_count() const;
  [[nodiscard]] std::uint32_t context_size() const;
  [[nodiscard]] const Model& model() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;  // shared with streams, so that none outlives its memory
};

/// Token ids of one evaluation, for callers that build their own loops.
class MULLAMA_API Batch {
 public:
  Batch();
  explicit Batch(std::span<const Token> tokens);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch();

  void add(Token token);
  void clear();
  [[nodiscard]] std::span<const Token> tokens() const;

 private:
  std::vector<Token> tokens_;
};

/// Chooses tokens from logits by the same chain that generate() uses.
class MULLAMA_API SamplerChain {
 public:
  SamplerChain(const Model& model, const SamplerParams& params);
  SamplerChain(SamplerChain&&) noexcept;
  SamplerChain& operator=(SamplerChain&&) noexcept;
  SamplerChain(const SamplerChain&) = delete;
  SamplerChain& operator=(const SamplerChain&) = delete;
  ~SamplerChain();

  /// `logits` has vocab_size values.
  [[nodiscard]] Token sample(std::span<const float> logits);
  /// Tells the penalties what was chosen.
  void accept(Token token);
  void reset();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The account book of the whole process.
[[nodiscard]] MULLAMA_API std::vector<PoolUsage> memory_pools();

/// One line of a memory plan.
struct PlanRow {
  std::string device;
  std::string pool;
  std::uint64_t bytes = 0;
  std::string why;
};

/// A way to run the same model in less memory.
struct PlanAlternative {
  std::string flags;        ///< What to change, in the words of the command line.
  std::uint64_t bytes = 0;  ///< The plan's total then.
};

/// Every byte that a model and one context on it will take, known before anything is loaded.
struct MemoryPlan {
  std::uint32_t context_size = 0;
  std::uint32_t sequences = 1;
  std::uint32_t batch_size = 0;
  KvCacheType key_type = KvCacheType::F16;
  KvCacheType value_type = KvCacheType::F16;
  std::vector<PlanRow> rows;  ///< No two count the same byte.
  std::uint64_t total = 0;
  std::uint64_t recommended = 0;              ///< A fifth more than calculated: what should be free.
  std::uint64_t available = 0;                ///< What this process may still take.
  std::string limited_by;                     ///< By what: "the system", or a cgroup's folder.
  std::optional<std::uint64_t> budget;        ///< The host's, if there is one.
  bool fits = false;                          ///< Into the budget, or else into what is available.
  bool weights_are_streamed = false;          ///< Mapped weights will be read from disk again and again.
  std::vector<PlanAlternative> alternatives;  ///< What would fit, if it does not.

  [[nodiscard]] MULLAMA_API std::string to_json() const;
};

/// Reads the file's header only.
[[nodiscard]] MULLAMA_API MemoryPlan plan(const std::string& path, const ModelParams& model = {},
                                          const ContextParams& context = {});

/// A hard limit on all memory of this process: "2GiB", "host=2GiB,gpu0=1GiB", "auto", or "" for none. Until
/// it is called, loading a model puts the limit of the environment variable MULLAMA_MEMORY_BUDGET into force.
MULLAMA_API void set_memory_budget(std::string_view budget);

/// Objects alive, for tests of bindings.
struct LiveObjects {
  std::uint64_t models = 0;
  std::uint64_t contexts = 0;
  std::uint64_t batches = 0;
  std::uint64_t samplers = 0;
  std::uint64_t streams = 0;
};
[[nodiscard]] MULLAMA_API LiveObjects live_objects();

[[nodiscard]] MULLAMA_API std::string_view version();

}  // namespace mullama
