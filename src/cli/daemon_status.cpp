#include "cli/daemon_status.hpp"

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/byte_size.hpp"
#include "cli/command.hpp"
#include "cli/daemon_state.hpp"
#include "cli/exit_code.hpp"
#include "cli/format.hpp"
#include "cli/spinner.hpp"
#include "cli/terminal.hpp"
#include "server/service.hpp"

namespace mullama::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string bytes(const Json& value) {
  return value.is_number() ? format_bytes(value.get<uint64_t>()) : std::string("-");
}

std::string indented(const std::string& text) {
  std::string out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += "  " + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out;
}

/// "4 minutes from now" for a time as the server writes it.
std::string until(const Json& expires_at) {
  if (!expires_at.is_string()) return "always";
  const std::string text = expires_at.get<std::string>();
  std::tm parts{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return text;
  const auto seconds = std::difftime(::timegm(&parts), std::time(nullptr));
  if (seconds > 50.0 * 365 * 86400) return "always";
  if (seconds < 1) return "now";
  if (seconds < 90) return fmt::format("{:.0f} seconds from now", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} minutes from now", seconds / 60);
  return fmt::format("{:.0f} hours from now", seconds / 3600);
}

std::string model_rows(const Json& models) {
  std::vector<std::vector<std::string>> rows{{"MODEL", "SEQUENCES", "WAITING", "CONTEXT", "WEIGHTS",
                                              "KV (TYPE)", "KV USED", "PROMPT CACHE", "UNTIL"}};
  for (const Json& model : models) {
    rows.push_back(
        {model.at("name").get<std::string>(),
         fmt::format("{} of {}", model.at("running").get<uint64_t>(), model.at("parallel").get<uint64_t>()),
         fmt::format("{}", model.at("waiting").get<uint64_t>()),
         fmt::format("{}", model.at("context_size").get<uint64_t>()), bytes(model.at("weight_bytes")),
         fmt::format("{} ({})", bytes(model.at("kv_bytes")), model.at("key_type").get<std::string>()),
         bytes(model.at("kv_bytes_used")), bytes(model.at("prompt_cache_bytes")),
         until(model.at("expires_at"))});
  }
  return table(rows);
}

std::string pool_rows(const Json& report) {
  std::vector<std::vector<std::string>> rows{
      {"DEVICE", "POOL", "BYTES", "", "PLANNED", "PEAK", "RESIDENT", "LOCKED"}};
  for (const Json& pool : report.at("pools")) {
    const Json residency = pool.value("residency", Json::object());
    rows.push_back({pool.at("device").get<std::string>(), pool.at("pool").get<std::string>(),
                    fmt::format("{}", pool.at("bytes").get<uint64_t>()), bytes(pool.at("bytes")),
                    bytes(pool.at("planned")), bytes(pool.at("peak")),
                    bytes(residency.value("resident", Json())), bytes(residency.value("locked", Json()))});
  }
  return table(rows);
}

std::string describe(const Json& report, const server::DaemonAddress& address) {
  std::string out = fmt::format(
      "Daemon at {}: pid {}, up {}, {} requests\n", address.text(), report.at("pid").get<int>(),
      short_duration(report.at("uptime_seconds").get<double>()), report.at("requests").get<uint64_t>());
  out += "\nModels\n";
  out += report.at("models").empty() ? "  none is loaded\n" : indented(model_rows(report.at("models")));
  out += "\nMemory\n" + indented(pool_rows(report));
  for (const Json& device : report.at("devices")) {
    const std::string name = device.at("device").get<std::string>();
    out += fmt::format("  {}: {} in pools", name, bytes(device.at("bytes")));
    if (device.at("budget").is_number())
      out += fmt::format(", {} of the budget of {}", bytes(device.at("counted")), bytes(device.at("budget")));
    out += fmt::format("{}, {} unaccounted\n", device.at("budget").is_number() ? "" : ", no budget",
                       bytes(device.at("unaccounted")));
  }
  const Json& process = report.at("process");
  out += fmt::format(
      "  resident: {} ({} anonymous, {} clean file pages), locked {}, swapped {}, in huge pages {}\n",
      bytes(process.at("resident")), bytes(process.at("anonymous")), bytes(process.at("clean")),
      bytes(process.at("locked")), bytes(process.at("swapped")), bytes(process.at("huge")));
  const Json& remainder = report.at("operating_system");
  out += fmt::format("  outside the pools: code {}, heap {}, stacks {}, other files {}\n",
                     bytes(remainder.at("code")), bytes(remainder.at("heap")), bytes(remainder.at("stacks")),
                     bytes(remainder.at("files")));
  return out;
}

/// What the daemon says; without one the program ends with its own exit code for that.
Result<Json> ask(const std::string& path, const std::string& body = {},
                 std::chrono::seconds patience = std::chrono::seconds(10)) {
  MULLAMA_ASSIGN(const auto address, daemon_address());
  auto reply = server::ask_daemon(address, path, body, patience);
  if (!reply && reply.error().unreachable) throw DaemonUnreachable(reply.error().message);
  MULLAMA_TRY(reply);
  return std::move(*reply);
}

Result<int> list_running(bool as_json) {
  MULLAMA_ASSIGN(const Json reply, ask("/api/ps"));
  if (as_json) {
    write_out(reply.at("models").dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return kOk;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"}};
  for (const Json& model : reply.at("models")) {
    const std::string digest = model.at("digest").get<std::string>();
    rows.push_back({model.at("name").get<std::string>(), digest.empty() ? "-" : digest.substr(0, 12),
                    short_size(model.at("size").get<uint64_t>()), "100% CPU",
                    fmt::format("{}", model.at("context_length").get<uint64_t>()),
                    until(model.at("expires_at"))});
  }
  write_out(table(rows));
  return kOk;
}

}  // namespace

Result<int> daemon_status(bool as_json) {
  MULLAMA_ASSIGN(const auto address, daemon_address());
  auto report = server::ask_daemon(address, "/memory");
  if (!report && report.error().unreachable) {
    MULLAMA_ASSIGN(const auto running, running_daemon());
    const std::string state = running ? fmt::format("A daemon (pid {}) is starting.", running->pid)
                                      : std::string("No daemon is running.");
    if (as_json) {
      write_out(Json({{"running", false}, {"address", address.text()}}).dump(2) + "\n");
    } else {
      write_out(fmt::format("{} Start one with: mullama daemon start\n", state));
    }
    return kDaemonUnreachable;
  }
  MULLAMA_TRY(report);
  try {
    if (!as_json) {
      write_out(describe(*report, address));
      return kOk;
    }
    Json document = {{"running", true}, {"address", address.text()}};
    for (const auto& [name, value] : report->items()) document[name] = value;
    write_out(document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return kOk;
  } catch (const Json::exception&) {
    return fail(ErrorCode::unavailable, "what answers at {} is not a daemon of this version", address.text());
  }
}

Result<int> ping_daemon() {
  MULLAMA_ASSIGN(const auto address, daemon_address());
  const auto since = std::chrono::steady_clock::now();
  MULLAMA_TRY(ask("/health"));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - since;
  write_out(fmt::format("The daemon at {} answers in {:.1f} ms.\n", address.text(), took.count()));
  return kOk;
}

Result<int> load_model(const std::string& name, const std::string& keep_alive) {
  Json body = {{"model", name}, {"stream", false}};
  if (!keep_alive.empty()) {
    MULLAMA_TRY(server::KeepAlive::parse(keep_alive));
    body["keep_alive"] = keep_alive;
  }
  const Spinner spinner("loading " + name, false);
  // Longer than a server lets a model wait for room.
  MULLAMA_TRY(ask("/api/generate", body.dump(), std::chrono::minutes(20)));
  return kOk;
}

Result<int> unload_model(const std::string& name) {
  const Json body = {{"model", name}, {"keep_alive", 0}, {"stream", false}};
  MULLAMA_ASSIGN(const Json reply, ask("/api/generate", body.dump()));
  static_cast<void>(reply);
  return kOk;
}

void add_ps(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("ps", "List the models in the server's memory");
  const auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON");
  command->footer(
      "Examples:\n"
      "  mullama ps\n"
      "  mullama ps --json");
  command->callback([as_json, &action] { action = [as_json] { return list_running(*as_json); }; });
}

}  // namespace mullama::cli
