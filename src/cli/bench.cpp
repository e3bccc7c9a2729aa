#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

struct BenchArguments {
  std::string model;
  uint32_t prompt = 512;
  uint32_t generate = 64;
  uint32_t depth = 0;
  uint32_t repetitions = 5;
  bool as_json = false;
  bool quiet = false;
  EngineArguments engine;
};

/// Speeds of repeated runs, in tokens a second.
struct Speeds {
  std::vector<double> runs;

  [[nodiscard]] double median() const {
    std::vector<double> sorted = runs;
    std::ranges::sort(sorted);
    const size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
  [[nodiscard]] double slowest() const { return *std::ranges::min_element(runs); }
  [[nodiscard]] double fastest() const { return *std::ranges::max_element(runs); }
};

/// Tokens spread over the vocabulary; which ones does not matter to the time.
std::vector<Token> spread_tokens(uint32_t count, uint32_t vocab_size) {
  std::vector<Token> tokens;
  tokens.reserve(count);
  for (uint64_t i = 0; i < count; ++i) tokens.push_back(static_cast<Token>((i * 7919 + 13) % vocab_size));
  return tokens;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Bench {
 public:
  Bench(const Model& model, const ContextParams& params, uint32_t depth)
      : context_(model, params), depth_(depth) {}

  Speeds prefill(uint32_t count, uint32_t repetitions) {
    return repeat(repetitions, [&] {
      const std::vector<Token> tokens = spread_tokens(count, context_.model().vocab_size());
      fill();
      const auto start = std::chrono::steady_clock::now();
      context_.evaluate(tokens);
      return count / seconds_since(start);
    });
  }

  Speeds decode(uint32_t count, uint32_t repetitions) {
    return repeat(repetitions, [&] {
      fill();
      const std::vector<Token> tokens = spread_tokens(count, context_.model().vocab_size());
      const auto start = std::chrono::steady_clock::now();
      for (const Token& token : tokens) context_.evaluate(std::span(&token, 1));
      return count / seconds_since(start);
    });
  }

 private:
  /// An empty context, or one with `depth` tokens in it.
  void fill() {
    context_.clear();
    if (depth_ > 0) context_.evaluate(spread_tokens(depth_, context_.model().vocab_size()));
  }

  template <class Run>
  Speeds repeat(uint32_t repetitions, Run&& run) {
    const InterruptTarget target([this] { context_.cancel(); });
    Speeds speeds;
    run();  // warms caches and commits pages
    for (uint32_t i = 0; i < repetitions; ++i) speeds.runs.push_back(run());
    return speeds;
  }

  Context context_;
  uint32_t depth_;
};

json to_json(const Speeds& speeds, uint32_t tokens) {
  return {{"tokens", tokens},
          {"median", speeds.median()},
          {"min", speeds.slowest()},
          {"max", speeds.fastest()},
          {"runs", speeds.runs}};
}

Result<int> bench(const BenchArguments& arguments) {
  if (arguments.repetitions == 0 || (arguments.prompt == 0 && arguments.generate == 0)) {
    return fail(ErrorCode::invalid_argument,
                "there is nothing to measure: give --prompt or --generate, and --repetitions, above 0");
  }
  MULLAMA_ASSIGN(const store::StoredModel stored, find_model(arguments.model, arguments.quiet));
  MULLAMA_ASSIGN(EngineParams params, resolve(arguments.engine, {}));
  if (!params.memory_budget.empty()) set_memory_budget(params.memory_budget);
  if (params.context.n_ctx == 0)
    params.context.n_ctx = arguments.depth + std::max(arguments.prompt, arguments.generate);
  const InterruptGuard guard;
  const Model model = Model::load_with_params(stored.weights.string(), params.model);
  Bench runs(model, params.context, arguments.depth);
  backend::Backend& backend = model.impl()->loaded->backend();
  json document = {{"model", stored.name},
                   {"size", model.size_bytes()},
                   {"parameters", model.parameter_count()},
                   {"threads", backend.threads()},
                   {"isa", backend.isa()},
                   {"depth", arguments.depth},
                   {"kv_cache_type", to_string(params.context.kv_cache_type)}};
  std::vector<std::vector<std::string>> rows{{"TEST", "TOKENS", "MEDIAN t/s", "MIN", "MAX"}};
  const auto add = [&](const char* name, uint32_t tokens, const Speeds& speeds) {
    document[name] = to_json(speeds, tokens);
    rows.push_back({name, fmt::format("{}", tokens), fmt::format("{:.2f}", speeds.median()),
                    fmt::format("{:.2f}", speeds.slowest()), fmt::format("{:.2f}", speeds.fastest())});
  };
  if (arguments.prompt > 0)
    add("prefill", arguments.prompt, runs.prefill(arguments.prompt, arguments.repetitions));
  if (arguments.generate > 0)
    add("decode", arguments.generate, runs.decode(arguments.generate, arguments.repetitions));
  if (arguments.as_json) {
    write_out(document.dump(2) + "\n");
    return 0;
  }
  write_out(fmt::format("{}: {}, {} threads, {}\n", stored.name, short_size(model.size_bytes()),
                        backend.threads(), backend.isa()));
  write_out(table(rows));
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure the speed of reading prompts and of writing answers");
  const auto arguments = std::make_shared<BenchArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_option("-p,--prompt", arguments->prompt, "Tokens of the prompt; 0 skips it")
      ->capture_default_str();
  command->add_option("-n,--generate", arguments->generate, "Tokens decoded one by one; 0 skips it")
      ->capture_default_str();
  command->add_option("-d,--depth", arguments->depth, "Tokens in the context beforehand")
      ->capture_default_str();
  command->add_option("-r,--repetitions", arguments->repetitions, "Runs after a warm-up; the median counts")
      ->capture_default_str();
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress of pulls");
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama bench smollm2:135m\n"
      "  mullama bench ./model.gguf -p 512 -n 128 --threads 2 --json\n"
      "  mullama bench ./model.gguf -p 0 -n 32 --depth 8192 --kv-cache-type q8_0");
  command->callback([arguments, &action] { action = [arguments] { return bench(*arguments); }; });
}

}  // namespace mullama::cli
