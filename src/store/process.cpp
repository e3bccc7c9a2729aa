#include "store/process.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace mullama::store {

namespace {

constexpr int kTickMilliseconds = 100;
constexpr auto kGraceBeforeKill = std::chrono::seconds(2);

/// A running child; killed and waited for by the destructor if it was not waited for before.
class Child {
 public:
  Child() = default;
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Child() { stop(); }

  /// The exit status if it has ended.
  std::optional<int> poll() { return wait(WNOHANG); }
  int wait_for_end() { return wait(0).value_or(-1); }

  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    const auto deadline = std::chrono::steady_clock::now() + kGraceBeforeKill;
    while (std::chrono::steady_clock::now() < deadline) {
      if (poll()) return;
      ::poll(nullptr, 0, 20);
    }
    ::kill(pid_, SIGKILL);
    wait_for_end();
  }

 private:
  std::optional<int> wait(int flags) {
    if (pid_ <= 0) return -1;
    int status = 0;
    pid_t got = 0;
    do {
      got = ::waitpid(pid_, &status, flags);
    } while (got < 0 && errno == EINTR);
    if (got == 0) return std::nullopt;
    pid_ = -1;
    if (got < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  pid_t pid_ = -1;
};

std::vector<std::string> merged_environment(const Command& command) {
  std::map<std::string, std::string> values;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) values.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& [key, value] : command.environment) values[key] = value;
  std::vector<std::string> out;
  for (const auto& [key, value] : values) out.push_back(key + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// Starts the command; its standard output goes to `output` if that is a descriptor, else to the log.
Result<Child> start(const Command& command, int output) {
  const Descriptor log(::open(command.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.valid()) return disk_error("create", command.log);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output >= 0 ? output : log.number(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, log.number(), STDERR_FILENO);
  // A caller that ignores SIGPIPE or SIGINT would pass that on.
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGINT);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = merged_environment(command);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments.front().c_str(), &actions, &attributes,
                                 pointers(arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT)
    return fail(ErrorCode::not_found, "the program '{}' is not installed", arguments.front());
  if (error != 0) return fail(ErrorCode::io, "cannot run '{}': {}", arguments.front(), std::strerror(error));
  return Child(pid);
}

}  // namespace

Result<int> run_command(const Command& command, const Canceled& canceled, const std::function<void()>& tick) {
  MULLAMA_ASSIGN(Child child, start(command, -1));
  while (true) {
    if (const auto status = child.poll()) return *status;
    MULLAMA_TRY(check_canceled(canceled));
    if (tick) tick();
    ::poll(nullptr, 0, kTickMilliseconds);
  }
}

Result<int> run_command_reading(const Command& command, const Canceled& canceled, const Sink& output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::io, "cannot create a pipe: {}", std::strerror(errno));
  }
  const Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  MULLAMA_ASSIGN(Child child, start(command, write_end.number()));
  write_end.close();
  std::vector<std::byte> block(size_t{1} << 18);
  while (true) {
    MULLAMA_TRY(check_canceled(canceled));
    pollfd waiting{read_end.number(), POLLIN, 0};
    if (::poll(&waiting, 1, kTickMilliseconds) <= 0) continue;
    const ssize_t got = ::read(read_end.number(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return fail(ErrorCode::io, "cannot read from '{}': {}", command.arguments[0], std::strerror(errno));
    if (got == 0) return child.wait_for_end();
    MULLAMA_TRY(output(std::span(block).first(static_cast<size_t>(got))));
  }
}

}  // namespace mullama::store
