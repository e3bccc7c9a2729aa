#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "server/client.hpp"
#include "store/disk.hpp"

namespace mullama::cli {

/// The folder for the daemon's pid, log and lock: MULLAMA_STATE_DIR, else $XDG_STATE_HOME/mullama, else
/// ~/.local/state/mullama.
[[nodiscard]] std::filesystem::path state_folder();
[[nodiscard]] std::filesystem::path daemon_log();

/// What a running daemon left for others to find it.
struct DaemonRecord {
  int pid = 0;
  std::string host;
  uint16_t port = 0;
  std::vector<std::string> arguments;  ///< Of `serve`, for a restart.
};

/// Held by a daemon as long as it lives: the system lets go of it however the process ends, so that no stale
/// pid is ever believed.
class DaemonLock {
 public:
  /// None if another process holds it.
  [[nodiscard]] static Result<std::optional<DaemonLock>> take();
  /// Published under the lock, readable by this user alone.
  [[nodiscard]] Status publish(const DaemonRecord& record) const;

 private:
  store::Descriptor descriptor_;
};

/// The daemon that `daemon start` started and that still runs, if any; its port is 0 until it listens.
[[nodiscard]] Result<std::optional<DaemonRecord>> running_daemon();
/// The last one, running or not.
[[nodiscard]] std::optional<DaemonRecord> last_daemon();

/// MULLAMA_HOST and MULLAMA_PORT, then OLLAMA_HOST, and MULLAMA_API_KEY.
[[nodiscard]] Result<server::DaemonAddress> address_from_environment();
/// Where to ask: the daemon that runs, else what the environment says.
[[nodiscard]] Result<server::DaemonAddress> daemon_address();

}  // namespace mullama::cli
