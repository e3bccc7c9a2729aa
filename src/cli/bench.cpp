#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.hpp"
#include "cli/bench_cost.hpp"
#include "cli/bench_roof.hpp"
#include "cli/bench_run.hpp"
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
  std::vector<uint32_t> prompt{512};
  std::vector<uint32_t> generate{64};
  std::vector<uint32_t> depth{0};
  std::vector<uint32_t> sequences{1};
  std::vector<unsigned> threads;
  std::vector<std::string> kv_types;
  uint32_t repetitions = 5;
  bool no_roof = false;
  bool in_turn = false;
  bool as_json = false;
  bool quiet = false;
  EngineArguments engine;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// A test's repeated speeds in tokens a second, and what the machine could do beside each of them.
struct Measured {
  BenchTest test;
  std::string kv_type;
  unsigned threads = 0;
  std::vector<double> runs;
  std::vector<double> roofs;
  double cost = 0;        ///< Bytes a step, or operations a prompt, that the roof counts.
  double steps_each = 0;  ///< Steps (or prompts) that one token is.
  std::string roof_name;

  [[nodiscard]] double speed() const { return median(runs); }
  [[nodiscard]] double slowest() const { return *std::ranges::min_element(runs); }
  [[nodiscard]] double fastest() const { return *std::ranges::max_element(runs); }
  /// The share of the roof that was reached, as the median of the runs, each beside its own probe.
  [[nodiscard]] double share() const {
    std::vector<double> shares;
    for (size_t i = 0; i < roofs.size(); ++i) shares.push_back(runs[i] * steps_each * cost / roofs[i]);
    return shares.empty() ? 0 : median(shares);
  }

  [[nodiscard]] json to_json() const {
    json out = {{"test", test.prefill ? "prefill" : "decode"},
                {"tokens", test.tokens},
                {"depth", test.depth},
                {"sequences", test.together},
                {"threads", threads},
                {"kv_cache_type", kv_type},
                {"median", speed()},
                {"min", slowest()},
                {"max", fastest()},
                {"runs", runs}};
    if (roofs.empty()) return out;
    out["roof"] = {{"kind", roof_name}, {"median", median(roofs)}, {"needed", cost}, {"share", share()}};
    return out;
  }

  [[nodiscard]] std::vector<std::string> row() const {
    std::string roof = "-";
    if (!roofs.empty()) {
      roof = roof_name == "read" ? fmt::format("{:.0f} % of {:.1f} GB/s", 100 * share(), median(roofs) / 1e9)
                                 : fmt::format("{:.0f} % of {:.2f} T{}op/s", 100 * share(),
                                               median(roofs) / 1e12, roof_name == "bf16" ? "fl" : "");
    }
    return {fmt::format("{} {}", test.prefill ? "prefill" : "decode", test.tokens),
            fmt::format("{}", test.depth),
            fmt::format("{}", test.together),
            fmt::format("{}", threads),
            kv_type,
            fmt::format("{:.2f}", speed()),
            fmt::format("{:.2f}-{:.2f}", slowest(), fastest()),
            roof};
  }
};

/// Says on standard error what is being measured.
class Announcer {
 public:
  explicit Announcer(bool quiet) : quiet_(quiet), redraw_(allows_cursor_movement(stderr)) {}
  ~Announcer() { end(); }
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  void begin(const Measured& measured, size_t number, size_t count) {
    const BenchTest& test = measured.test;
    label_ = fmt::format("test {} of {}: {} {}, depth {}, {} together, {} threads, {}", number, count,
                         test.prefill ? "prefill" : "decode", test.tokens, test.depth, test.together,
                         measured.threads, measured.kv_type);
    if (!quiet_ && !redraw_) write_note(label_ + "\n");
  }
  void run(uint32_t run, uint32_t repetitions) {
    if (quiet_ || !redraw_) return;
    write_note(
        fmt::format("\r\x1b[K{}: {}", label_,
                    run == 0 ? std::string("warming up") : fmt::format("run {} of {}", run, repetitions)));
    drawn_ = true;
  }
  /// Takes the line away, so that what follows has the screen.
  void end() {
    if (drawn_) write_note("\r\x1b[K");
    drawn_ = false;
  }

 private:
  bool quiet_;
  bool redraw_;
  bool drawn_ = false;
  std::string label_;
};

class Bench {
 public:
  Bench(const BenchArguments& arguments, std::vector<BenchTest> tests)
      : arguments_(arguments), tests_(std::move(tests)), announcer_(arguments.quiet) {}

  /// All tests with the model loaded for one number of threads.
  Status measure(const Model& model, const std::vector<EngineParams>& contexts) {
    engine::LoadedModel& loaded = *model.impl()->loaded;
    const unsigned threads = loaded.backend().threads();
    std::optional<RoofProbe> roof;
    if (!arguments_.no_roof) {
      MULLAMA_ASSIGN(roof, RoofProbe::create(threads, loaded.backend().isa(), loaded.ledger()));
    }
    for (const EngineParams& params : contexts) {
      for (const BenchTest& test : tests_) {
        Measured measured;
        measured.test = test;
        measured.threads = threads;
        measured.kv_type = to_string(params.context.kv_cache_type);
        const KvCacheType values = params.context.kv_cache_type_v.value_or(params.context.kv_cache_type);
        if (values != params.context.kv_cache_type) measured.kv_type += fmt::format("/{}", to_string(values));
        announcer_.begin(measured, results_.size() + 1, total_);
        MULLAMA_TRY(measure_one(model, params, roof ? &*roof : nullptr, measured));
        results_.push_back(std::move(measured));
      }
    }
    announcer_.end();
    return {};
  }

  void expect(size_t thread_counts, size_t contexts) { total_ = thread_counts * contexts * tests_.size(); }
  [[nodiscard]] const std::vector<Measured>& results() const { return results_; }

 private:
  Status measure_one(const Model& model, const EngineParams& params, RoofProbe* roof, Measured& measured) {
    const BenchTest& test = measured.test;
    MULLAMA_ASSIGN(BenchRun bench,
                   BenchRun::create(model.impl()->loaded, api::to_engine(params.context), test));
    const model::Definition& definition = bench.engine().model().definition();
    const BenchCost cost = bench_cost(definition);
    if (test.prefill) {
      measured.cost = cost.prefill_operations(test.tokens);
      measured.steps_each = 1.0 / test.tokens;
      measured.roof_name = cost.quantized ? "int8" : "bf16";
    } else {
      // Half of the answer's tokens are there on average.
      const double kv =
          kv_bytes_read(definition.program, bench.engine().shape().kv, test.depth + test.tokens / 2);
      measured.cost = cost.decode_bytes(test.together, kv);
      measured.steps_each = 1.0 / test.together;
      measured.roof_name = "read";
    }
    for (uint32_t run = 0; run <= arguments_.repetitions; ++run) {
      announcer_.run(run, arguments_.repetitions);
      if (arguments_.in_turn && run > 0 && !await_turn()) return fail(ErrorCode::canceled, "no further turn");
      double limit = 0;
      if (roof != nullptr && run > 0 && !InterruptGuard::interrupted()) {
        limit = !test.prefill    ? roof->bytes_a_second()
                : cost.quantized ? roof->int8_operations_a_second()
                                 : roof->bf16_operations_a_second();
      }
      MULLAMA_ASSIGN(const double speed, bench.run());
      if (run == 0) {  // It warmed caches and committed pages.
        if (arguments_.in_turn) write_line("ready");
        continue;
      }
      measured.runs.push_back(speed);
      if (roof != nullptr) measured.roofs.push_back(limit);
      if (arguments_.in_turn) write_line(fmt::format("{:.6f}", speed));
    }
    return {};
  }

  /// Another program runs in between: each run waits for a line on standard input.
  static bool await_turn() {
    int c = 0;
    while ((c = std::getchar()) != '\n') {
      if (c == EOF) return false;
    }
    return true;
  }

  static void write_line(std::string_view text) {
    write_out(fmt::format("{}\n", text));
    flush_out();
  }

  const BenchArguments& arguments_;
  std::vector<BenchTest> tests_;
  Announcer announcer_;
  std::vector<Measured> results_;
  size_t total_ = 0;
};

std::vector<BenchTest> list_tests(const BenchArguments& arguments) {
  std::vector<BenchTest> tests;
  for (const uint32_t depth : arguments.depth) {
    for (const uint32_t tokens : arguments.prompt) {
      if (tokens > 0) tests.push_back({true, tokens, depth, 1});
    }
    for (const uint32_t tokens : arguments.generate) {
      for (const uint32_t together : arguments.sequences) {
        if (tokens > 0 && together > 0) tests.push_back({false, tokens, depth, together});
      }
    }
  }
  return tests;
}

/// What the lists of threads and KV types spell out; where they are empty, the defaults.
Result<std::vector<EngineParams>> list_contexts(const BenchArguments& arguments) {
  std::vector<EngineParams> contexts;
  std::vector<std::string> types = arguments.kv_types;
  if (types.empty()) types.emplace_back();
  for (const std::string& type : types) {
    EngineArguments one = arguments.engine;
    if (!type.empty()) one.kv_cache_type = type;
    MULLAMA_ASSIGN(EngineParams params, resolve(one, {}));
    contexts.push_back(std::move(params));
  }
  return contexts;
}

Result<int> bench(const BenchArguments& arguments) {
  const std::vector<BenchTest> tests = list_tests(arguments);
  if (arguments.repetitions == 0 || tests.empty()) {
    return fail(ErrorCode::invalid_argument,
                "there is nothing to measure: give --prompt or --generate, and --repetitions, above 0");
  }
  MULLAMA_ASSIGN(const store::StoredModel stored, find_model(arguments.model, arguments.quiet));
  MULLAMA_ASSIGN(const std::vector<EngineParams> contexts, list_contexts(arguments));
  if (!contexts[0].memory_budget.empty()) set_memory_budget(contexts[0].memory_budget);
  std::vector<unsigned> threads = arguments.threads;
  if (threads.empty()) threads.push_back(0);
  const InterruptGuard guard;
  Bench bench(arguments, tests);
  bench.expect(threads.size(), contexts.size());
  json document;
  std::string heading;
  for (const unsigned count : threads) {
    ModelParams params = contexts[0].model;
    params.n_threads = count;
    const Model model = Model::load_with_params(stored.weights.string(), params);
    const char* isa = model.impl()->loaded->backend().isa();
    document = {{"model", stored.name},
                {"size", model.size_bytes()},
                {"parameters", model.parameter_count()},
                {"isa", isa},
                {"batch_size", contexts[0].context.n_batch}};
    heading = fmt::format("{}: {}, {}, medians of {}\n", stored.name, short_size(model.size_bytes()), isa,
                          arguments.repetitions);
    MULLAMA_TRY(bench.measure(model, contexts));
  }
  std::vector<std::vector<std::string>> rows{
      {"TEST", "DEPTH", "TOGETHER", "THREADS", "KV", "MEDIAN t/s", "MIN-MAX", "OF THE ROOF"}};
  document["tests"] = json::array();
  for (const Measured& measured : bench.results()) {
    document["tests"].push_back(measured.to_json());
    rows.push_back(measured.row());
  }
  write_out(arguments.as_json ? document.dump(2) + "\n" : heading + table(rows, "  "));
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure the speed of reading prompts and of writing answers");
  const auto arguments = std::make_shared<BenchArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  const auto list = [&](const std::string& names, auto& values, const std::string& help) {
    command->add_option(names, values, help)->delimiter(',')->allow_extra_args(false);
  };
  list("-p,--prompt", arguments->prompt, "Tokens of the prompt: 512, or a list such as 128,512; 0 skips it");
  list("-n,--generate", arguments->generate, "Tokens decoded one by one: 64, or a list; 0 skips it");
  list("-d,--depth", arguments->depth, "Tokens in the context beforehand: 0, or a list");
  list("-s,--sequences", arguments->sequences, "Sequences that decode together: 1, or a list");
  command->add_option("-r,--repetitions", arguments->repetitions, "Runs after a warm-up; the median counts")
      ->capture_default_str();
  command->add_flag("--no-roof", arguments->no_roof,
                    "Do not probe how fast this machine can read memory and compute dots");
  command->add_flag("--in-turn", arguments->in_turn,
                    "Wait for a line on standard input before each run and print its speed after it, to "
                    "take turns with another program");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  add_engine_options(*command, arguments->engine);
  for (const char* single : {"--threads", "--kv-cache-type"}) {
    command->remove_option(command->get_option(single));
  }
  list("-t,--threads", arguments->threads, "Threads, or a list; default all that this process may use");
  list("--kv-cache-type", arguments->kv_types,
       "Type of the KV cache, or a list: f32, f16 (default), bf16, q8_0, q4_0");
  command->footer(
      "Examples:\n"
      "  mullama bench smollm2:135m\n"
      "  mullama bench ./model.gguf -p 128,512 -n 128 --threads 1,2 --json\n"
      "  mullama bench ./model.gguf -p 0 -n 32 --depth 0,8192 --kv-cache-type f16,q8_0\n"
      "  mullama bench ./model.gguf -p 0 -n 32 --sequences 1,2,4,8\n"
      "\nEach speed stands beside what bounds it, probed right before each run with the same threads: for\n"
      "reading a prompt the rate of 8-bit (or bfloat16) dots, for decoding the rate of reading memory.");
  command->callback([arguments, &action] { action = [arguments] { return bench(*arguments); }; });
}

}  // namespace mullama::cli
