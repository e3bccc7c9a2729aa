#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/divergence.hpp"
#include "cli/engine_options.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/npy_file.hpp"
#include "cli/terminal.hpp"
#include "engine/engine.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

// Rows of logits computed at once; more would only take memory.
constexpr uint32_t kOutputRows = 128;
constexpr uint32_t kDefaultWindow = 512;

struct PerplexityArguments {
  std::string model;
  std::string file;
  std::string save_logits;
  std::string kl_against;
  std::optional<uint64_t> chunks;
  bool all_positions = false;
  bool as_json = false;
  bool quiet = false;
  EngineArguments engine;
};

/// What was found at the scored positions, in order.
struct Scores {
  std::vector<double> surprise;
  std::vector<double> reference_surprise;
  std::vector<double> divergence;
  uint64_t same_top = 0;
};

/// Walks a text window by window and scores each next token.
class Evaluation {
 public:
  Evaluation(engine::Engine& engine, std::vector<Token> tokens, uint32_t window, uint32_t first)
      : engine_(engine), tokens_(std::move(tokens)), window_(window), first_(first) {}

  [[nodiscard]] uint64_t rows_a_window() const { return window_ - 1 - first_; }

  void save_to(NpyWriter* writer) { writer_ = writer; }
  void compare_with(const NpyReader* reference) { reference_ = reference; }

  Status run_window(uint64_t index) {
    std::vector<Token> tokens(tokens_.begin() + static_cast<std::ptrdiff_t>(index * window_),
                              tokens_.begin() + static_cast<std::ptrdiff_t>((index + 1) * window_));
    const text::Tokenizer& tokenizer = engine_.model().tokenizer();
    // Each window is a text of its own, so it starts as texts do.
    if (tokenizer.add_bos() && tokenizer.bos()) tokens.front() = *tokenizer.bos();
    engine_.clear_session();
    const std::span<const Token> all(tokens);
    if (first_ > 0)
      MULLAMA_TRY(
          engine_.evaluate_in_session(all.first(first_), false, [](size_t, std::span<const float>) {}));
    Status written;
    MULLAMA_TRY(engine_.evaluate_in_session(
        all.subspan(first_), true, [&](size_t row, std::span<const float> logits) {
          if (row < rows_a_window() && written)
            written = score(index * rows_a_window() + row, logits, all[first_ + row + 1]);
        }));
    return written;
  }

  [[nodiscard]] const Scores& scores() const { return scores_; }

 private:
  Status score(uint64_t row, std::span<const float> logits, Token next) {
    const auto token = static_cast<size_t>(next);
    scores_.surprise.push_back(surprise(logits, token));
    if (reference_ != nullptr) {
      const auto expected = reference_->row(row);
      scores_.reference_surprise.push_back(surprise(expected, token));
      scores_.divergence.push_back(divergence(expected, logits));
      scores_.same_top += most_likely(expected) == most_likely(logits) ? 1 : 0;
    }
    return writer_ != nullptr ? writer_->append(logits) : Status{};
  }

  engine::Engine& engine_;
  std::vector<Token> tokens_;
  uint32_t window_;
  uint32_t first_;
  NpyWriter* writer_ = nullptr;
  const NpyReader* reference_ = nullptr;
  Scores scores_;
};

json summary(const Scores& scores, uint32_t window, uint64_t windows) {
  const Mean mean = mean_of(scores.surprise);
  json out = {{"perplexity", std::exp(mean.value)},
              {"perplexity_error", std::exp(mean.value) * mean.error},
              {"nll", mean.value},
              {"ctx_size", window},
              {"chunks", windows},
              {"positions", scores.surprise.size()}};
  if (scores.divergence.empty()) return out;
  const Mean kl = mean_of(scores.divergence);
  out["kl"] = {{"mean", kl.value},
               {"error", kl.error},
               {"median", quantile(scores.divergence, 0.5)},
               {"p99", quantile(scores.divergence, 0.99)},
               {"max", quantile(scores.divergence, 1)}};
  out["same_top"] = static_cast<double>(scores.same_top) / static_cast<double>(scores.divergence.size());
  out["reference_perplexity"] = std::exp(mean_of(scores.reference_surprise).value);
  return out;
}

std::string summary_text(const json& found) {
  std::string out = fmt::format("perplexity {:.4f} +- {:.4f} over {} positions in {} window{} of {}\n",
                                found["perplexity"].get<double>(), found["perplexity_error"].get<double>(),
                                found["positions"].get<uint64_t>(), found["chunks"].get<uint64_t>(),
                                found["chunks"] == 1 ? "" : "s", found["ctx_size"].get<uint32_t>());
  if (!found.contains("kl")) return out;
  const json& kl = found["kl"];
  out += fmt::format("reference perplexity {:.4f}\n", found["reference_perplexity"].get<double>());
  out += fmt::format("KL divergence {:.6f} +- {:.6f}, median {:.6f}, 99 % {:.6f}, max {:.6f}\n",
                     kl["mean"].get<double>(), kl["error"].get<double>(), kl["median"].get<double>(),
                     kl["p99"].get<double>(), kl["max"].get<double>());
  return out + fmt::format("same top token {:.2f} %\n", 100 * found["same_top"].get<double>());
}

Result<int> measure(const PerplexityArguments& arguments) {
  MULLAMA_ASSIGN(const store::StoredModel stored, find_model(arguments.model, arguments.quiet));
  MULLAMA_ASSIGN(const EngineParams params, resolve(arguments.engine, {}));
  MULLAMA_ASSIGN(const std::string text, read_input(arguments.file));
  if (!params.memory_budget.empty()) set_memory_budget(params.memory_budget);
  const Model model = Model::load_with_params(stored.weights.string(), params.model);
  const uint32_t window = params.context.n_ctx == 0 ? kDefaultWindow : params.context.n_ctx;
  if (window < 4) return fail(ErrorCode::invalid_argument, "--ctx-size must be at least 4");
  std::vector<Token> tokens = model.tokenize(text, true, false);
  const uint64_t windows = std::min<uint64_t>(tokens.size() / window, arguments.chunks.value_or(UINT64_MAX));
  if (windows == 0) {
    return fail(ErrorCode::invalid_argument,
                "the text has {} tokens, fewer than a window of {}. Try a smaller --ctx-size", tokens.size(),
                window);
  }
  engine::ContextParams shape = api::to_engine(params.context);
  shape.n_ctx = window;
  shape.output_rows = std::min(kOutputRows, shape.n_batch);
  MULLAMA_ASSIGN(const auto engine, engine::Engine::create(model.impl()->loaded, shape));

  Evaluation evaluation(*engine, std::move(tokens), window, arguments.all_positions ? 0 : window / 2);
  const uint64_t rows = windows * evaluation.rows_a_window();
  std::optional<NpyReader> reference;
  if (!arguments.kl_against.empty()) {
    MULLAMA_ASSIGN(reference, NpyReader::open(arguments.kl_against));
    if (reference->rows() != rows || reference->columns() != model.vocab_size()) {
      return fail(ErrorCode::invalid_argument,
                  "'{}' holds {} rows of {} logits; this text, window and model make {} of {}. Use the same "
                  "flags for both",
                  arguments.kl_against, reference->rows(), reference->columns(), rows, model.vocab_size());
    }
    evaluation.compare_with(&*reference);
  }
  std::optional<NpyWriter> writer;
  if (!arguments.save_logits.empty()) {
    MULLAMA_ASSIGN(writer, NpyWriter::create(arguments.save_logits, rows, model.vocab_size()));
    evaluation.save_to(&*writer);
  }
  const InterruptGuard guard;
  const InterruptTarget target([&] { engine->cancel_all(); });
  for (uint64_t i = 0; i < windows; ++i) {
    MULLAMA_TRY(evaluation.run_window(i));
    if (arguments.quiet) continue;
    write_note(fmt::format("[{}/{}] {:.4f}\n", i + 1, windows,
                           std::exp(mean_of(evaluation.scores().surprise).value)));
  }
  if (writer) MULLAMA_TRY(writer->finish());
  const json found = summary(evaluation.scores(), window, windows);
  write_out(arguments.as_json ? found.dump(2) + "\n" : summary_text(found));
  return 0;
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "perplexity", "Measure how well a model predicts a text, and how far two models differ");
  const auto arguments = std::make_shared<PerplexityArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_option("FILE", arguments->file, "The text; - is standard input")->required();
  command->add_option("--save-logits", arguments->save_logits,
                      "Write the logits of the scored positions to this .npy file");
  command->add_option("--kl-against", arguments->kl_against, "Compare with the logits of this .npy file");
  command->add_option("--chunks", arguments->chunks, "Measure only so many windows");
  command->add_flag("--all-positions", arguments->all_positions, "Score the first half of each window too");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama perplexity smollm2:135m text.txt\n"
      "  mullama perplexity f16.gguf text.txt --save-logits f16.npy\n"
      "  mullama perplexity q4.gguf text.txt --kl-against f16.npy\n"
      "\nThe text is cut into windows of --ctx-size tokens (default 512) that do not overlap; what is left "
      "is dropped. Each\n"
      "window starts afresh, with its first token replaced by BOS if the model wants one. Only the tokens "
      "after the\n"
      "middle of a window are scored, so that each has at least half a window before it.\n"
      "  perplexity      exp of the mean of -ln p(token), +- its standard error\n"
      "  KL divergence   mean over positions of sum p (ln p - ln q), p from the file, q from this model; "
      "nats\n"
      "  same top token  share of positions where both find the same token most likely");
  command->callback([arguments, &action] { action = [arguments] { return measure(*arguments); }; });
}

}  // namespace mullama::cli
