#include "cli/engine_options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>

#include "base/environment.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

constexpr std::string_view kGroup = "Memory and machine";

template <class T>
Result<std::optional<T>> environment_number(std::initializer_list<const char*> names) {
  const std::string text = first_environment(names);
  if (text.empty()) return std::optional<T>();
  T value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return fail(ErrorCode::invalid_argument,
                "the environment variable {} holds '{}', which is not a number in range", *names.begin(),
                text);
  }
  return std::optional<T>(value);
}

/// An integer among a model's own parameters, where it fits into T.
template <class T>
std::optional<T> default_integer(const store::Parameters& defaults, std::string_view name) {
  const auto found = std::ranges::find(defaults, name, &store::Parameters::value_type::first);
  if (found == defaults.end()) return std::nullopt;
  const auto* value = std::get_if<int64_t>(&found->second);
  if (value == nullptr || !std::in_range<T>(*value)) return std::nullopt;
  return static_cast<T>(*value);
}

bool default_flag(const store::Parameters& defaults, std::string_view name, bool missing) {
  const auto found = std::ranges::find(defaults, name, &store::Parameters::value_type::first);
  if (found == defaults.end()) return missing;
  const auto* value = std::get_if<bool>(&found->second);
  return value == nullptr ? missing : *value;
}

std::string first_given(std::initializer_list<std::string> texts) {
  for (const std::string& text : texts) {
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace

void add_engine_options(CLI::App& command, EngineArguments& arguments) {
  const std::string group(kGroup);
  command
      .add_option("-c,--ctx-size", arguments.ctx_size,
                  "Tokens the context holds; default min(4096, what the model was trained for)")
      ->group(group);
  command
      .add_option("-b,--batch-size", arguments.batch_size,
                  "Tokens computed at once while reading a prompt; default 512")
      ->group(group);
  command
      .add_option("--kv-cache-type", arguments.kv_cache_type,
                  "Type of the KV cache: f32, f16 (default), bf16, q8_0, q4_0")
      ->group(group);
  command.add_option("--kv-cache-type-k", arguments.kv_cache_type_k, "Type of the keys alone")->group(group);
  command.add_option("--kv-cache-type-v", arguments.kv_cache_type_v, "Type of the values alone")
      ->group(group);
  command
      .add_flag("--no-kv-rotate", arguments.no_kv_rotate,
                "Quantize the KV cache without the Hadamard rotation before it")
      ->group(group);
  command
      .add_flag("--lookup{16}", arguments.lookup,
                "Guess up to 16 (or --lookup=N) tokens at once from the text so far: the same answer, sooner "
                "where it repeats")
      ->group(group);
  command
      .add_flag("--mmap,!--no-mmap", arguments.mmap,
                "Map the model file (default), or with --no-mmap copy it into memory")
      ->group(group);
  command
      .add_flag("--mlock,!--no-mlock", arguments.mlock,
                "Lock model and KV cache in memory; --mlock=require fails if that is not allowed")
      ->group(group);
  command
      .add_option("--memory-budget", arguments.memory_budget,
                  "Hard limit on all memory: 2GiB, host=2GiB,gpu0=1GiB, auto")
      ->group(group);
  command.add_option("--gpu-layers", arguments.gpu_layers, "Layers to run on a GPU; -1 is all")->group(group);
  command.add_option("--threads", arguments.threads, "Threads; default all that this process may use")
      ->group(group);
  command
      .add_option("--isa", arguments.isa,
                  "Instruction set to force: scalar, avx2, ... (environment: MULLAMA_ISA)")
      ->group(group);
  command.add_option("--pre", arguments.pre_tokenizer, "Pre-tokenizer to use instead of the file's")
      ->group(group);
}

Result<EngineParams> resolve(const EngineArguments& arguments, const store::Parameters& defaults) {
  EngineParams out;
  MULLAMA_ASSIGN(const auto env_ctx,
                 environment_number<uint32_t>({"MULLAMA_CONTEXT_SIZE", "OLLAMA_CONTEXT_LENGTH"}));
  MULLAMA_ASSIGN(const auto env_gpu, environment_number<int>({"MULLAMA_GPU_LAYERS"}));
  const auto pick = [](auto flag, auto env, auto file, auto missing) {
    return flag ? *flag : env ? *env : file.value_or(missing);
  };
  out.context.n_ctx =
      pick(arguments.ctx_size, env_ctx, default_integer<uint32_t>(defaults, "num_ctx"), uint32_t{0});
  out.context.n_batch = pick(arguments.batch_size, std::optional<uint32_t>(),
                             default_integer<uint32_t>(defaults, "num_batch"), out.context.n_batch);
  if (out.context.n_batch == 0) return fail(ErrorCode::invalid_argument, "--batch-size must be at least 1");
  out.context.kv_rotate = !arguments.no_kv_rotate;
  out.context.lookup = arguments.lookup;
  const std::string env_type = first_environment({"MULLAMA_KV_CACHE_TYPE", "OLLAMA_KV_CACHE_TYPE"});
  try {
    out.context.kv_cache_type = kv_cache_type_from_string(
        first_given({arguments.kv_cache_type_k, arguments.kv_cache_type, env_type, "f16"}));
    out.context.kv_cache_type_v = kv_cache_type_from_string(
        first_given({arguments.kv_cache_type_v, arguments.kv_cache_type, env_type, "f16"}));
  } catch (const MullamaError& error) {
    return fail(ErrorCode::invalid_argument, "{}", error.what());
  }
  constexpr std::array<std::string_view, 3> kMaps{"", "true", "false"};
  if (std::ranges::find(kMaps, arguments.mmap) == kMaps.end())
    return fail(ErrorCode::invalid_argument, "--mmap takes no value, not '{}'", arguments.mmap);
  out.model.use_mmap =
      arguments.mmap.empty() ? default_flag(defaults, "use_mmap", true) : arguments.mmap == "true";
  constexpr std::array<std::string_view, 4> kLocks{"", "true", "false", "require"};
  if (std::ranges::find(kLocks, arguments.mlock) == kLocks.end()) {
    return fail(ErrorCode::invalid_argument, "--mlock takes no value but 'require', not '{}'",
                arguments.mlock);
  }
  out.model.use_mlock =
      arguments.mlock.empty() ? default_flag(defaults, "use_mlock", false) : arguments.mlock != "false";
  out.model.mlock_required = arguments.mlock == "require";
  out.model.n_gpu_layers = pick(arguments.gpu_layers, env_gpu, default_integer<int>(defaults, "num_gpu"), 0);
  out.model.n_threads = pick(arguments.threads, std::optional<unsigned>(),
                             default_integer<unsigned>(defaults, "num_thread"), 0u);
  out.model.isa = arguments.isa;
  out.model.pre_tokenizer = arguments.pre_tokenizer;
  out.model.on_warning = [](const std::string& line) { write_note("Warning: " + line + "\n"); };
  out.memory_budget = first_given({arguments.memory_budget, environment("MULLAMA_MEMORY_BUDGET")});
  return out;
}

}  // namespace mullama::cli
