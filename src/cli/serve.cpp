#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <unistd.h>

#include "cli/command.hpp"
#include "cli/daemon_state.hpp"
#include "cli/models.hpp"
#include "cli/serve_options.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

/// A line of the log, with the time in front where nobody watches it come.
void log_line(server::LogLevel level, const std::string& line) {
  std::string time;
  if (!is_terminal(stderr)) {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    time = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z ", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  }
  const char* const kind = level == server::LogLevel::error     ? "Error: "
                           : level == server::LogLevel::warning ? "Warning: "
                                                                : "";
  // What clients write into it must not look like a line of its own.
  std::string text = printable(line);
  std::ranges::replace(text, '\n', ' ');
  write_note(time + kind + text + "\n");
}

/// The words of our command line behind "serve", for a restart.
std::vector<std::string> own_words() {
  const auto text = store::read_text("/proc/self/cmdline", 1 << 20);
  std::vector<std::string> words;
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(2, words.size())));
  std::erase(words, "--as-daemon");
  return words;
}

Result<int> run_server(const ServeArguments& arguments) {
  std::optional<DaemonLock> lock;
  if (arguments.as_daemon) {
    MULLAMA_ASSIGN(lock, DaemonLock::take());
    if (!lock) return fail(ErrorCode::unavailable, "a daemon is running already");
  }
  MULLAMA_ASSIGN(server::ServeOptions options, resolve(arguments));
  options.log = log_line;
  if (switched_off("OLLAMA_FLASH_ATTENTION") && options.log_level >= server::LogLevel::warning) {
    log_line(server::LogLevel::warning,
             "OLLAMA_FLASH_ATTENTION cannot be switched off: attention always computes without holding all "
             "scores");
  }
  options.ready = [&, host = options.host](uint16_t port) -> Status {
    if (!lock) return {};
    return lock->publish({::getpid(), host, port, own_words()});
  };
  MULLAMA_TRY(server::serve(std::move(options), open_store(), memory::Ledger::process()));
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("serve", "Answer requests of other programs over HTTP");
  command->alias("start");
  const auto arguments = std::make_shared<ServeArguments>();
  add_serve_options(*command, *arguments);
  command->footer(
      "Examples:\n"
      "  mullama serve\n"
      "  mullama serve --model llama3.2:1b --parallel 3\n"
      "  mullama serve --model chat=./model.gguf --memory-budget 4GiB\n"
      "  mullama serve --host 0.0.0.0 --api-key-file keys.txt\n"
      "\nSpeaks the formats of Ollama, OpenAI and Anthropic; browsers find a page at /ui/. The first SIGTERM "
      "or\nCtrl-C lets answers under way end, a second one cuts them off.\n"
      "\nFurther environment variables; a flag wins over them:\n"
      "  MULLAMA_MODELS_DIR, MULLAMA_MODELS             Where models are kept; default ~/.mullama/models\n"
      "  OLLAMA_MODELS                                  Ollama's folder, which is only searched\n"
      "  MULLAMA_STATE_DIR                              The daemon's pid and log; default "
      "~/.local/state/mullama\n"
      "  MULLAMA_CONTEXT_SIZE, OLLAMA_CONTEXT_LENGTH    --ctx-size\n"
      "  MULLAMA_KV_CACHE_TYPE, OLLAMA_KV_CACHE_TYPE    --kv-cache-type\n"
      "  MULLAMA_MEMORY_BUDGET                          --memory-budget\n"
      "  MULLAMA_GPU_LAYERS                             --gpu-layers\n"
      "  MULLAMA_LOG_LEVEL                              error, warn, info (default) or debug (--verbose)\n"
      "  OLLAMA_DEBUG                                   --verbose\n"
      "  OLLAMA_LOAD_TIMEOUT                            How long a model waits for room; default 5m\n"
      "  OLLAMA_FLASH_ATTENTION                         Always on\n"
      "  HF_TOKEN, HF_ENDPOINT                          For models of Hugging Face, as its own tools read "
      "them");
  command->callback([arguments, &action] { action = [arguments] { return run_server(*arguments); }; });
}

}  // namespace mullama::cli
