#include "cli/serve_options.hpp"

#include <charconv>
#include <sys/stat.h>

#include "api/impl.hpp"
#include "base/byte_size.hpp"
#include "base/environment.hpp"
#include "cli/daemon_state.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"
#include "store/disk.hpp"

namespace mullama::cli {

namespace {

constexpr uint32_t kDefaultParallel = 4;
constexpr uint32_t kDefaultQueue = 512;

Result<uint32_t> number_or(const std::optional<uint32_t>& flag, const char* variable, uint32_t missing) {
  if (flag) return *flag;
  const std::string text = environment(variable);
  if (text.empty()) return missing;
  uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size())
    return fail(ErrorCode::invalid_argument, "the environment variable {} holds '{}', which is no number",
                variable, text);
  return value;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (comma != 0) out.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

Result<server::LogLevel> log_level(bool verbose) {
  using enum server::LogLevel;
  if (verbose) return debug;
  const std::string text = environment("MULLAMA_LOG_LEVEL");
  if (text.empty()) {
    return environment("OLLAMA_DEBUG").empty() || switched_off("OLLAMA_DEBUG") ? info : debug;
  }
  constexpr std::pair<std::string_view, server::LogLevel> kLevels[] = {
      {"error", error}, {"warn", warning}, {"warning", warning}, {"info", info}, {"debug", debug}};
  for (const auto& [name, level] : kLevels) {
    if (text == name) return level;
  }
  return fail(ErrorCode::invalid_argument,
              "the environment variable MULLAMA_LOG_LEVEL holds '{}'; it may be error, warn, info or debug",
              text);
}

/// How long a model waits for room, as Ollama's variable says: 0 and less are forever.
Result<std::chrono::seconds> load_timeout(std::chrono::seconds missing) {
  const std::string text = environment("OLLAMA_LOAD_TIMEOUT");
  if (text.empty()) return missing;
  const auto time = server::KeepAlive::parse(text);
  if (!time) {
    return fail(ErrorCode::invalid_argument,
                "the environment variable OLLAMA_LOAD_TIMEOUT takes a time such as 5m, not '{}'", text);
  }
  const auto after = time->after > std::chrono::nanoseconds(0) ? time->after : server::KeepAlive::kForever;
  return std::chrono::ceil<std::chrono::seconds>(
      std::min(after, std::chrono::nanoseconds(std::chrono::years(100))));
}

/// The keys of a file, one a line. Nobody else may be able to read it.
Result<std::vector<std::string>> keys_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return fail(ErrorCode::permission, "others can read the key file {}; run: chmod 600 {}", path, path);
  }
  MULLAMA_ASSIGN(const std::string text, store::read_text(path, 1 << 16));
  std::vector<std::string> keys;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line[0] != '#') keys.push_back(std::move(line));
    begin = end + 1;
  }
  if (keys.empty()) return fail(ErrorCode::invalid_argument, "the key file {} holds no key", path);
  return keys;
}

/// "name=path", "name:path", "path" or "name".
Result<std::pair<std::string, std::string>> named_model(const std::string& text) {
  size_t sign = text.find('=');
  // A colon may also stand before a tag.
  if (const size_t colon = text.find(':'); sign == std::string::npos && colon != std::string::npos &&
                                           !store::is_path(text.substr(0, colon + 1)) &&
                                           store::is_path(text.substr(colon + 1)))
    sign = colon;
  if (sign != std::string::npos && sign > 0) {
    MULLAMA_ASSIGN(const auto parsed, store::ModelName::parse(text.substr(0, sign)));
    return std::pair(parsed.display(), std::filesystem::absolute(text.substr(sign + 1)).string());
  }
  if (!store::is_path(text)) {
    MULLAMA_ASSIGN(const auto model, find_model(text, false));
    return std::pair(model.name, text);
  }
  const std::filesystem::path path = std::filesystem::absolute(text);
  const auto parsed = store::ModelName::parse(path.stem().string());
  return std::pair(parsed ? parsed->display() : std::string("model"), path.string());
}

/// The API's parameters in the engine's own types.
server::ModelSettings to_settings(const EngineParams& params, uint32_t parallel) {
  server::ModelSettings settings;
  settings.load = api::to_engine(params.model);
  settings.context = api::to_engine(params.context);
  settings.context.n_sequences = parallel;
  return settings;
}

}  // namespace

void add_serve_options(CLI::App& command, ServeArguments& arguments) {
  const std::string group = "Server";
  command
      .add_option("-m,--model", arguments.models,
                  "A model to load at the start: NAME, FILE.gguf or NAME=FILE (NAME:FILE); repeatable")
      ->group(group);
  command
      .add_option("--parallel", arguments.parallel,
                  "Answers that a model works on together, each with a context of its own; default 4 "
                  "(OLLAMA_NUM_PARALLEL)")
      ->check(CLI::Range(1u, 256u))
      ->group(group);
  command
      .add_option("--host", arguments.host,
                  "Address to listen on; default 127.0.0.1 (MULLAMA_HOST, OLLAMA_HOST)")
      ->group(group);
  command.add_option("-p,--port", arguments.port, "Port; default 11434 (MULLAMA_PORT), 0 draws one")
      ->group(group);
  command
      .add_option(
          "--api-key", arguments.keys,
          "A key that requests must show; repeatable (MULLAMA_API_KEY). Other users see it in the list of "
          "processes: prefer --api-key-file")
      ->group(group);
  command
      .add_option("--api-key-file", arguments.key_file, "A file with one key a line, readable by you alone")
      ->group(group);
  command
      .add_option(
          "--max-queue", arguments.max_queue,
          "Requests that wait for a model beside those it answers, before others get 503; default 512 "
          "(OLLAMA_MAX_QUEUE)")
      ->group(group);
  command
      .add_option("--keep-alive", arguments.keep_alive,
                  "How long an unused model stays: 5m (default; those of --model stay), 1h30m, seconds, -1 "
                  "for always, 0 "
                  "(OLLAMA_KEEP_ALIVE)")
      ->group(group);
  command
      .add_option(
          "--prompt-cache", arguments.prompt_cache,
          "Most bytes of a model's KV cache to keep for prompts that begin alike; default all that is free")
      ->group(group);
  command
      .add_flag(
          "--fit", arguments.fit,
          "Choose context and KV type of each model that is loaded by what fits the budget, or the memory "
          "there is; the log says what")
      ->group(group);
  command
      .add_flag("--release-idle{5s}", arguments.release_idle,
                "Give the memory of unused KV pages back, the prompt cache with it, when a model was asked "
                "nothing for 5s (or --release-idle=TIME)")
      ->group(group);
  command
      .add_option("--max-loaded-models", arguments.max_models,
                  "Models in memory at once; default as many as fit (OLLAMA_MAX_LOADED_MODELS)")
      ->group(group);
  command
      .add_option("--allowed-host", arguments.allowed_hosts,
                  "A further name this server may be called by; repeatable")
      ->group(group);
  command
      .add_option("--origin", arguments.origins,
                  "Web pages of this origin may use the server; repeatable (MULLAMA_ORIGINS, OLLAMA_ORIGINS)")
      ->group(group);
  command
      .add_flag("--allow-open", arguments.allow_open, "Listen beyond this machine although there is no key")
      ->group(group);
  command
      .add_flag("-v,--verbose", arguments.verbose,
                "Log every request (MULLAMA_LOG_LEVEL=debug, OLLAMA_DEBUG)")
      ->group(group);
  command.add_flag("--as-daemon", arguments.as_daemon)->group("");
  add_engine_options(command, arguments.engine);
}

bool switched_off(const char* variable) {
  const std::string text = environment(variable);
  return text == "0" || text == "false";
}

Result<server::ServeOptions> resolve(const ServeArguments& arguments) {
  server::ServeOptions options;
  MULLAMA_ASSIGN(server::DaemonAddress address, address_from_environment());
  if (!arguments.host.empty()) MULLAMA_TRY(address.read(arguments.host));
  options.host = address.host;
  options.port = arguments.port.value_or(address.port);
  options.keys = arguments.keys;
  if (options.keys.empty() && !address.key.empty()) options.keys.push_back(address.key);
  if (!arguments.key_file.empty()) {
    MULLAMA_ASSIGN(const auto more, keys_of(arguments.key_file));
    options.keys.insert(options.keys.end(), more.begin(), more.end());
  }
  options.allowed_hosts = arguments.allowed_hosts;
  options.origins = arguments.origins;
  for (std::string& origin : words(first_environment({"MULLAMA_ORIGINS", "OLLAMA_ORIGINS"})))
    options.origins.push_back(std::move(origin));
  options.allow_open = arguments.allow_open;
  MULLAMA_ASSIGN(options.log_level, log_level(arguments.verbose));

  MULLAMA_ASSIGN(options.parallel, number_or(arguments.parallel, "OLLAMA_NUM_PARALLEL", kDefaultParallel));
  if (options.parallel == 0 || options.parallel > 256)
    return fail(ErrorCode::invalid_argument, "the number of answers at once must be between 1 and 256");
  server::ServiceSettings& service = options.service;
  MULLAMA_ASSIGN(service.max_queue, number_or(arguments.max_queue, "OLLAMA_MAX_QUEUE", kDefaultQueue));
  MULLAMA_ASSIGN(service.load_timeout, load_timeout(service.load_timeout));
  MULLAMA_ASSIGN(service.max_models, number_or(arguments.max_models, "OLLAMA_MAX_LOADED_MODELS", 0));
  const std::string keep =
      arguments.keep_alive.empty() ? environment("OLLAMA_KEEP_ALIVE") : arguments.keep_alive;
  if (!keep.empty()) {
    MULLAMA_ASSIGN(service.keep_alive, server::KeepAlive::parse(keep));
    options.keep_models = service.keep_alive;
  }
  if (!arguments.prompt_cache.empty()) {
    MULLAMA_ASSIGN(service.cache_bytes, parse_bytes(arguments.prompt_cache));
  }
  service.fit = arguments.fit;
  if (!arguments.release_idle.empty()) {
    const auto after = server::KeepAlive::parse(arguments.release_idle);
    if (!after) {
      return fail(ErrorCode::invalid_argument, "--release-idle takes a time such as 5s, not '{}'",
                  arguments.release_idle);
    }
    // What is longer than anybody waits is never.
    if (after->after < std::chrono::hours(24 * 365))
      service.release_idle = std::chrono::ceil<std::chrono::milliseconds>(after->after);
  }
  // Wrong flags are told at the start, not when the first model is asked for.
  MULLAMA_ASSIGN(const EngineParams probe, resolve(arguments.engine, {}));
  service.resolve = [engine = arguments.engine, parallel = options.parallel](
                        const store::Parameters& defaults) -> Result<server::ModelSettings> {
    MULLAMA_ASSIGN(const EngineParams params, resolve(engine, defaults));
    return to_settings(params, parallel);
  };
  for (const std::string& text : arguments.models) {
    MULLAMA_ASSIGN(auto model, named_model(text));
    service.models.push_back(std::move(model));
  }
  set_memory_budget(probe.memory_budget);
  return options;
}

}  // namespace mullama::cli
