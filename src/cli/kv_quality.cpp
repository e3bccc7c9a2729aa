#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/format.hpp"
#include "cli/input.hpp"
#include "cli/kv_comparison.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

constexpr uint32_t kShortWindow = 2048;
constexpr uint32_t kLongWindow = 8192;

struct KvQualityArguments {
  std::string model;
  std::string file;
  uint32_t positions = 512;
  std::optional<uint64_t> windows;
  bool as_json = false;
  bool quiet = false;
  EngineArguments engine;
};

/// The windows to measure: the one asked for, else 2k and 8k as far as the model was trained for them.
std::vector<uint32_t> windows_of(uint32_t asked, uint32_t trained) {
  if (asked != 0) return {asked};
  if (trained < kShortWindow) return {trained};
  if (trained < kLongWindow) return {kShortWindow};
  return {kShortWindow, kLongWindow};
}

json json_of(const KvComparison& comparison) {
  json types = json::array();
  for (const KvScore& score : comparison.scores) {
    json one = {{"type", score.choice.name()},
                {"key_type", kernels::kv_type_name(score.choice.key)},
                {"value_type", kernels::kv_type_name(score.choice.value)},
                {"rotated", score.choice.rotate}};
    if (!score.refusal.empty()) {
      one["refused"] = score.refusal;
    } else {
      const Mean kl = score.kl();
      one["bytes_a_token"] = score.bytes_a_token;
      one["kl"] = {{"mean", kl.value},
                   {"error", kl.error},
                   {"p99", quantile(score.divergence, 0.99)},
                   {"max", quantile(score.divergence, 1)}};
      one["same_top"] = score.same_top_share();
      one["perplexity"] = score.perplexity();
      one["verdict"] = verdict(score, comparison.scores.front());
    }
    types.push_back(std::move(one));
  }
  return {{"window", comparison.window},
          {"windows", comparison.windows},
          {"bytes_a_token_until", comparison.cost_until == 0 ? json() : json(comparison.cost_until)},
          {"positions", comparison.windows * comparison.positions},
          {"types", types}};
}

std::string text_of(const KvComparison& comparison) {
  std::vector<std::vector<std::string>> rows{
      {"KV TYPE", "BYTES A TOKEN", "KL TO F16", "", "SAME TOP", "PERPLEXITY", ""}};
  const KvScore& reference = comparison.scores.front();
  for (const KvScore& score : comparison.scores) {
    if (!score.refusal.empty()) {
      rows.push_back({score.choice.name(), "-", "-", "", "-", "-", score.refusal});
      continue;
    }
    const Mean kl = score.kl();
    const bool is_reference = &score == &reference;
    rows.push_back({score.choice.name(), fmt::format("{}", score.bytes_a_token),
                    fmt::format("{:.5f}", kl.value), fmt::format("+- {:.5f}", kl.error),
                    fmt::format("{:.2f} %", 100 * score.same_top_share()),
                    fmt::format("{:.4f}", score.perplexity()),
                    is_reference ? "reference" : std::string(verdict(score, reference))});
  }
  const std::string until =
      comparison.cost_until == 0
          ? ""
          : fmt::format("Bytes a token: until the attention window of {} tokens is full, and none after.\n",
                        comparison.cost_until);
  return fmt::format("{} window{} of {} tokens, the last {} positions of each\n\n{}{}\n", comparison.windows,
                     comparison.windows == 1 ? "" : "s", comparison.window, comparison.positions, table(rows),
                     until);
}

Result<int> measure(const KvQualityArguments& arguments) {
  MULLAMA_ASSIGN(const store::StoredModel stored, find_model(arguments.model, arguments.quiet));
  MULLAMA_ASSIGN(const EngineParams params, resolve(arguments.engine, {}));
  if (!params.memory_budget.empty()) set_memory_budget(params.memory_budget);
  const Model model = Model::load_with_params(stored.weights.string(), params.model);
  const auto& loaded = model.impl()->loaded;
  const std::vector<uint32_t> sizes = windows_of(params.context.n_ctx, model.n_ctx_train());
  if (arguments.positions == 0 || arguments.positions + 1 >= sizes.front()) {
    return fail(ErrorCode::invalid_argument, "--positions must be from 1 to {}, two less than the window",
                sizes.front() - 2);
  }
  std::vector<Token> tokens;
  if (arguments.file.empty()) {
    if (!arguments.quiet) write_note("the model writes a text to measure on\n");
    MULLAMA_ASSIGN(tokens, written_by_model(loaded, sizes.back()));
  } else {
    MULLAMA_ASSIGN(const std::string text, read_input(arguments.file));
    tokens = model.tokenize(text, true, false);
  }
  std::vector<KvComparison> comparisons;
  for (const uint32_t window : sizes) {
    // As much text at each size, unless asked otherwise.
    const uint64_t wanted = arguments.windows.value_or(std::max<uint64_t>(1, kLongWindow / window));
    const uint64_t count = std::min<uint64_t>(wanted, tokens.size() / window);
    if (count == 0) {
      if (!comparisons.empty()) {
        write_note(
            fmt::format("Note: the text has {} tokens, too few for a window of {}\n", tokens.size(), window));
        continue;
      }
      return fail(
          ErrorCode::invalid_argument,
          "the text has {} tokens, fewer than a window of {}. Give a longer one, or a smaller --ctx-size",
          tokens.size(), window);
    }
    const auto progress = [&](uint64_t done) {
      if (!arguments.quiet) write_note(fmt::format("[{}/{} windows of {}]\n", done, count, window));
    };
    MULLAMA_ASSIGN(KvComparison comparison, compare_kv_types(loaded, tokens, window, arguments.positions,
                                                             count, params.context.n_batch, progress));
    comparisons.push_back(std::move(comparison));
  }
  const std::string word = advice(comparisons);
  if (arguments.as_json) {
    json all = json::array();
    for (const KvComparison& comparison : comparisons) all.push_back(json_of(comparison));
    write_out(json{{"model", stored.name}, {"comparisons", all}, {"advice", word}}.dump(2) + "\n");
    return 0;
  }
  std::string text;
  for (const KvComparison& comparison : comparisons) text += text_of(comparison);
  write_out(text + word + "\n");
  return 0;
}

}  // namespace

void add_kv_quality(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("kv-quality", "Measure what each type of KV cache costs this model in quality");
  const auto arguments = std::make_shared<KvQualityArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_option("FILE", arguments->file,
                      "A text; without one the model writes its own; - is standard input");
  command->add_option("--positions", arguments->positions, "Positions scored at the end of each window")
      ->capture_default_str();
  command->add_option("--windows", arguments->windows,
                      "Windows of each size; default as many as make 8192 tokens");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama kv-quality smollm2:135m\n"
      "  mullama kv-quality gemma3:270m book.txt\n"
      "  mullama kv-quality ./model.gguf book.txt --ctx-size 4096 --windows 2 --json\n"
      "\nThe text is read in windows of 2048 tokens and, if the model was trained for them, of 8192 (or of "
      "--ctx-size), with\n"
      "f16 and every other type side by side. Only the end of a window is scored, where its cache is "
      "fullest.\n"
      "  bytes a token what each token adds in layers that see the whole context; where every layer has a\n"
      "                window, in all of them until it is full\n"
      "  KL to f16     mean over positions of sum p (ln p - ln q), p with f16, q with this type; nats, +- "
      "its "
      "standard error\n"
      "  same top      share of positions where both find the same token most likely\n"
      "  plain         quantized without the Hadamard rotation before it (--no-kv-rotate)\n"
      "  q8_0/q4_0     keys in the first type, values in the second");
  command->callback([arguments, &action] { action = [arguments] { return measure(*arguments); }; });
}

}  // namespace mullama::cli
