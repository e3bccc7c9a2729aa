#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "cli/command.hpp"
#include "cli/daemon_state.hpp"
#include "cli/daemon_status.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/serve_options.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

using namespace std::chrono_literals;

constexpr uint64_t kMaxLogRead = uint64_t{64} << 20;

uint64_t log_size() {
  std::error_code none;
  const auto size = std::filesystem::file_size(daemon_log(), none);
  return none ? 0 : size;
}

/// The last lines of the daemon's log, of what is behind its first `from` bytes.
std::string log_tail(size_t lines, uint64_t from = 0) {
  auto text = store::read_text(daemon_log(), kMaxLogRead);
  if (!text) return {};
  text->erase(0, std::min<uint64_t>(from, text->size()));
  size_t begin = text->size();
  if (begin > 0 && text->back() == '\n') --begin;
  while (begin > 0 && lines > 0) {
    begin = text->rfind('\n', begin - 1);
    if (begin == std::string::npos) return *text;
    --lines;
  }
  return text->substr(begin + (begin < text->size() && (*text)[begin] == '\n' ? 1 : 0));
}

/// Our own command line behind "daemon start".
std::vector<std::string> words_behind(size_t count) {
  const auto text = store::read_text("/proc/self/cmdline", 1 << 20);
  std::vector<std::string> words;
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    if (count == 0) {
      words.emplace_back(rest.substr(0, end));
    } else {
      --count;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return words;
}

/// Starts `serve` in a session of its own, its output in the log.
Result<pid_t> spawn(const std::vector<std::string>& words) {
  MULLAMA_TRY(store::make_folder(state_folder()));
  const store::Descriptor log(::open(daemon_log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return store::disk_error("open", daemon_log());
  std::vector<std::string> texts{"mullama", "serve"};
  texts.insert(texts.end(), words.begin(), words.end());
  texts.emplace_back("--as-daemon");
  std::vector<char*> arguments;
  for (std::string& text : texts) arguments.push_back(text.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0)
    return fail(ErrorCode::unavailable, "the system gives no new process: {}", std::strerror(errno));
  if (child > 0) return child;
  // Only calls that are safe between fork and exec.
  ::setsid();
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::dup2(log.number(), STDOUT_FILENO);
  ::dup2(log.number(), STDERR_FILENO);
  ::execv("/proc/self/exe", arguments.data());
  ::_exit(127);
}

Result<int> start(const std::vector<std::string>& words) {
  MULLAMA_ASSIGN(const auto before, running_daemon());
  if (before)
    return fail(ErrorCode::unavailable,
                "a daemon is running already (pid {}). Stop it with: mullama daemon stop", before->pid);
  const uint64_t log_before = log_size();
  MULLAMA_ASSIGN(const pid_t child, spawn(words));
  while (true) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      write_note(printable(log_tail(5, log_before)));
      return fail(ErrorCode::unavailable, "the daemon did not start; its log is {}", daemon_log().string());
    }
    MULLAMA_ASSIGN(const auto running, running_daemon());
    if (running && running->pid == child && running->port != 0) {
      const server::DaemonAddress address{running->host, running->port, {}};
      write_out(fmt::format("Daemon started: pid {}, listening on {}.\nLog: {}\n", child, address.text(),
                            daemon_log().string()));
      return kOk;
    }
    std::this_thread::sleep_for(50ms);
  }
}

Result<bool> wait_for_end(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < end) {
    MULLAMA_ASSIGN(const auto running, running_daemon());
    if (!running) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

Result<int> stop(bool force) {
  MULLAMA_ASSIGN(const auto running, running_daemon());
  if (!running) {
    write_out("No daemon is running.\n");
    return kOk;
  }
  if (::kill(running->pid, SIGTERM) != 0)
    return fail(ErrorCode::permission, "cannot signal the daemon (pid {}): {}", running->pid,
                std::strerror(errno));
  bool ended = false;
  if (force) {
    MULLAMA_ASSIGN(ended, wait_for_end(500ms));
    if (!ended) ::kill(running->pid, SIGTERM);
    MULLAMA_ASSIGN(ended, wait_for_end(10s));
    if (!ended) ::kill(running->pid, SIGKILL);
  }
  // Answers under way may take the daemon's own patience.
  MULLAMA_ASSIGN(ended, wait_for_end(force ? 5s : 310s));
  if (!ended)
    return fail(ErrorCode::timeout,
                "the daemon (pid {}) is still at work. Cut it off with: mullama daemon stop -f",
                running->pid);
  write_out("Daemon stopped.\n");
  return kOk;
}

Result<int> restart(std::vector<std::string> words, bool force) {
  const auto last = last_daemon();
  MULLAMA_ASSIGN(const auto running, running_daemon());
  if (running) {
    MULLAMA_ASSIGN(const int stopped, stop(force));
    if (stopped != kOk) return stopped;
  }
  if (words.empty() && last) words = last->arguments;
  return start(words);
}

Result<int> show_log(size_t lines, bool follow) {
  std::error_code missing;
  if (!std::filesystem::exists(daemon_log(), missing)) {
    write_out("There is no log yet: no daemon was started.\n");
    return kOk;
  }
  write_out(printable(log_tail(lines)));
  flush_out();
  if (!follow) return kOk;
  const InterruptGuard guard;
  const store::Descriptor file(::open(daemon_log().c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return store::disk_error("open", daemon_log());
  ::lseek(file.number(), 0, SEEK_END);
  std::array<char, 4096> buffer;
  while (!InterruptGuard::interrupted()) {
    const ssize_t got = ::read(file.number(), buffer.data(), buffer.size());
    if (got > 0) {
      write_out(printable({buffer.data(), static_cast<size_t>(got)}));
      flush_out();
    } else {
      std::this_thread::sleep_for(200ms);
    }
  }
  return kOk;
}

}  // namespace

void add_daemon(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("daemon", "Start, stop and look at a server in the background");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  mullama daemon start --model smollm2:135m --parallel 3\n"
      "  mullama daemon status\n"
      "  mullama daemon load smollm2:135m --keep-alive 1h\n"
      "  mullama daemon logs -n 50 -f\n"
      "  mullama daemon restart\n"
      "  mullama daemon stop");

  // The options are read to tell mistakes here; the daemon gets the words as they are.
  CLI::App* start_command = command->add_subcommand("start", "Start the daemon; takes the options of serve");
  const auto serve_arguments = std::make_shared<ServeArguments>();
  add_serve_options(*start_command, *serve_arguments);
  start_command->footer(
      "Examples:\n"
      "  mullama daemon start\n"
      "  mullama daemon start --model smollm2:135m --parallel 3\n"
      "  mullama daemon start --port 8080 --memory-budget 4GiB\n"
      "\nThe environment variables of mullama serve --help count here too.");
  start_command->callback([&action, serve_arguments] { action = [] { return start(words_behind(3)); }; });

  CLI::App* stop_command = command->add_subcommand("stop", "Let answers under way end, then stop");
  const auto force = std::make_shared<bool>(false);
  stop_command->add_flag("-f,--force", *force, "Cut answers off");
  stop_command->footer(
      "Examples:\n"
      "  mullama daemon stop\n"
      "  mullama daemon stop --force");
  stop_command->callback([&action, force] { action = [force] { return stop(*force); }; });

  CLI::App* restart_command =
      command->add_subcommand("restart", "Stop, and start with the same options or the ones given");
  const auto restart_arguments = std::make_shared<ServeArguments>();
  add_serve_options(*restart_command, *restart_arguments);
  restart_command->footer(
      "Examples:\n"
      "  mullama daemon restart\n"
      "  mullama daemon restart --model smollm2:135m --ctx-size 8192");
  restart_command->callback(
      [&action, restart_arguments] { action = [] { return restart(words_behind(3), false); }; });

  CLI::App* status_command =
      command->add_subcommand("status", "Models, sequences, memory against budget, uptime");
  const auto as_json = std::make_shared<bool>(false);
  status_command->add_flag("--json", *as_json, "Print JSON");
  status_command->footer(
      "Examples:\n"
      "  mullama daemon status\n"
      "  mullama daemon status --json | jq .pools\n"
      "\nExit codes: 0 a daemon answers, 2 none does.");
  status_command->callback([&action, as_json] { action = [as_json] { return daemon_status(*as_json); }; });

  CLI::App* ping_command = command->add_subcommand("ping", "Tell how soon the daemon answers");
  ping_command->footer(
      "Examples:\n"
      "  mullama daemon ping\n"
      "\nExit codes: 0 it answers, 2 it does not.");
  ping_command->callback([&action] { action = [] { return ping_daemon(); }; });

  CLI::App* load_command = command->add_subcommand("load", "Load a model before it is asked for");
  const auto loaded = std::make_shared<std::string>();
  const auto keep_alive = std::make_shared<std::string>();
  load_command->add_option("MODEL", *loaded, "A name, or one that --model gave a file")->required();
  load_command->add_option(
      "--keep-alive,--keepalive", *keep_alive,
      "How long it stays unused: 5m, 1h30m, seconds, -1 for always; default the daemon's own");
  load_command->footer(
      "Examples:\n"
      "  mullama daemon load smollm2:135m\n"
      "  mullama daemon load smollm2:135m --keep-alive 1h");
  load_command->callback([&action, loaded, keep_alive] {
    action = [loaded, keep_alive] { return load_model(*loaded, *keep_alive); };
  });

  CLI::App* unload_command =
      command->add_subcommand("unload", "Take a model out of the daemon's memory, as `mullama stop MODEL`");
  const auto unloaded = std::make_shared<std::string>();
  unload_command->add_option("MODEL", *unloaded, "A model that is loaded")->required();
  unload_command->footer(
      "Examples:\n"
      "  mullama daemon unload smollm2:135m");
  unload_command->callback([&action, unloaded] { action = [unloaded] { return unload_model(*unloaded); }; });

  CLI::App* logs_command = command->add_subcommand("logs", "Print the daemon's log");
  const auto lines = std::make_shared<size_t>(100);
  const auto follow = std::make_shared<bool>(false);
  logs_command->add_option("-n,--lines", *lines, "Lines from the end; default 100");
  logs_command->add_flag("-f,--follow", *follow, "Go on with what is added");
  logs_command->footer(
      "Examples:\n"
      "  mullama daemon logs\n"
      "  mullama daemon logs -n 50 -f");
  logs_command->callback(
      [&action, lines, follow] { action = [lines, follow] { return show_log(*lines, *follow); }; });
}

void add_stop(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("stop", "Take a model out of the server's memory, or without one stop the daemon");
  const auto model = std::make_shared<std::string>();
  command->add_option("MODEL", *model, "A model that is loaded");
  command->footer(
      "Examples:\n"
      "  mullama stop smollm2:135m\n"
      "  mullama stop");
  command->callback([model, &action] {
    action = [model]() -> Result<int> { return model->empty() ? stop(false) : unload_model(*model); };
  });
}

}  // namespace mullama::cli
