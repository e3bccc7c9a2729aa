#include "cli/daemon_state.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/environment.hpp"

namespace mullama::cli {

namespace {

namespace fs = std::filesystem;

fs::path lock_path() {
  return state_folder() / "daemon.lock";
}

/// A lock of the kind whose holder the system can name.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

fs::path record_path() {
  return state_folder() / "daemon.json";
}

}  // namespace

fs::path state_folder() {
  if (const std::string own = environment("MULLAMA_STATE_DIR"); !own.empty()) return own;
  if (const std::string state = environment("XDG_STATE_HOME"); !state.empty())
    return fs::path(state) / "mullama";
  const std::string home = environment("HOME");
  return fs::path(home.empty() ? "/tmp" : home) / ".local" / "state" / "mullama";
}

fs::path daemon_log() {
  return state_folder() / "daemon.log";
}

Result<std::optional<DaemonLock>> DaemonLock::take() {
  MULLAMA_TRY(store::make_folder(state_folder()));
  ::chmod(state_folder().c_str(), 0700);
  DaemonLock lock;
  lock.descriptor_ = store::Descriptor(::open(lock_path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.descriptor_.valid()) return store::disk_error("open", lock_path());
  struct flock whole = whole_file();
  if (::fcntl(lock.descriptor_.number(), F_SETLK, &whole) == 0)
    return std::optional<DaemonLock>(std::move(lock));
  if (errno == EAGAIN || errno == EACCES) return std::optional<DaemonLock>();
  return store::disk_error("lock", lock_path());
}

Status DaemonLock::publish(const DaemonRecord& record) const {
  const nlohmann::json document = {
      {"pid", record.pid}, {"host", record.host}, {"port", record.port}, {"arguments", record.arguments}};
  MULLAMA_TRY(store::write_text(state_folder() / "daemon.pid", fmt::format("{}\n", record.pid)));
  return store::write_text(record_path(), document.dump() + "\n");
}

std::optional<DaemonRecord> last_daemon() {
  const auto text = store::read_text(record_path(), 1 << 20);
  if (!text) return std::nullopt;
  const auto document = nlohmann::json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  try {
    DaemonRecord record;
    record.pid = document.at("pid").get<int>();
    record.host = document.at("host").get<std::string>();
    record.port = document.at("port").get<uint16_t>();
    record.arguments = document.at("arguments").get<std::vector<std::string>>();
    return record;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // as good as none: nobody but us writes it
  }
}

Result<std::optional<DaemonRecord>> running_daemon() {
  const store::Descriptor file(::open(lock_path().c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::optional<DaemonRecord>();
    return store::disk_error("open", lock_path());
  }
  struct flock holder = whole_file();
  if (::fcntl(file.number(), F_GETLK, &holder) != 0)
    return store::disk_error("look at the lock", lock_path());
  if (holder.l_type == F_UNLCK) return std::optional<DaemonRecord>();
  auto record = last_daemon();
  // One that is just starting has not said yet where it listens.
  if (!record || record->pid != holder.l_pid) record = DaemonRecord{holder.l_pid, "", 0, {}};
  return record;
}

Result<server::DaemonAddress> address_from_environment() {
  server::DaemonAddress address;
  const std::string own = environment("MULLAMA_HOST");
  const std::string theirs = environment("OLLAMA_HOST");
  if (!own.empty() || !theirs.empty()) MULLAMA_TRY(address.read(own.empty() ? theirs : own));
  if (const std::string port = environment("MULLAMA_PORT"); !port.empty())
    MULLAMA_TRY(address.read(":" + port));
  address.key = environment("MULLAMA_API_KEY");
  return address;
}

Result<server::DaemonAddress> daemon_address() {
  MULLAMA_ASSIGN(server::DaemonAddress address, address_from_environment());
  MULLAMA_ASSIGN(const auto running, running_daemon());
  if (running && running->port != 0) {
    address.host = running->host;
    address.port = running->port;
  }
  return address;
}

}  // namespace mullama::cli
