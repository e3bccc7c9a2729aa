#include "cli/daemon_session.hpp"

#include <algorithm>
#include <sys/socket.h>

#include "api/errors.hpp"
#include "base/byte_size.hpp"
#include "cli/daemon_state.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/statistics.hpp"
#include "sampling/parameter_table.hpp"
#include "store/digest.hpp"
#include "store/suggest.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds kPatience{2};

/// The daemon's row for the model of that name, or null.
json find_row(const nlohmann::ordered_json& report, const std::string& name) {
  if (!report.is_object() || !report.contains("models") || !report["models"].is_array()) return nullptr;
  for (const auto& row : report["models"]) {
    if (row.is_object() && store::equal_ignoring_case(row.value("name", ""), name)) return row;
  }
  return nullptr;
}

/// What the daemon shows of a model.
struct Shown {
  store::ModelTexts texts;
  bool thinks = false;
};

Result<Shown> ask_what_it_shows(const server::DaemonAddress& address, const std::string& name) {
  MULLAMA_ASSIGN(const auto answer,
                 server::ask_daemon(address, "/api/show", json{{"model", name}}.dump(), kPatience));
  if (!answer.contains("modelfile") || !answer["modelfile"].is_string())
    return fail(ErrorCode::unavailable, "the daemon at {} does not describe '{}'", address.text(), name);
  MULLAMA_ASSIGN(const store::Modelfile file,
                 store::Modelfile::parse(answer["modelfile"].get<std::string>()));
  Shown shown;
  shown.texts.system = file.system;
  shown.texts.parameters = file.parameters;
  // The daemon puts the model's own first messages before those that it gets, but for its system message.
  for (const store::Message& message : file.messages) {
    if (message.role == "system") shown.texts.system = message.content;
  }
  const json abilities = answer.value("capabilities", json::array());
  shown.thinks = std::ranges::find(abilities, json("thinking")) != abilities.end();
  return shown;
}

json options_json(const AnswerOptions& options, std::optional<std::uint32_t> n_ctx) {
  if (options.sampler.seed && *options.sampler.seed > static_cast<uint64_t>(INT64_MAX))
    throw MullamaError(StatusCode::invalid_argument, "a daemon takes seeds up to 9223372036854775807");
  json out = json::object();
  for (const sampling::ParameterInfo& info : sampling::parameters()) {
    if (info.name == "n_probs") continue;
    std::visit([&](const auto& value) { out[std::string(info.name)] = value; },
               sampling::get(options.sampler, info));
  }
  out["num_predict"] = std::max(options.max_tokens, -1);
  if (!options.stop.empty()) out["stop"] = options.stop;
  if (n_ctx) out["num_ctx"] = *n_ctx;
  return out;
}

FinishReason finish_reason(const json& last, const AnswerOptions& options) {
  if (last.value("done_reason", "") != "length") return FinishReason::stop;
  const bool limited = options.max_tokens >= 0 && last.value("eval_count", 0) >= options.max_tokens;
  return limited ? FinishReason::length : FinishReason::context_full;
}

double seconds(const json& last, const char* name) {
  return static_cast<double>(last.value(name, int64_t{0})) / 1e9;
}

/// What the reply's last document tells.
GenerateResult result_of(const json& last, const AnswerOptions& options) {
  GenerateResult result;
  result.finish_reason = finish_reason(last, options);
  result.prompt_tokens = last.value("prompt_eval_count", 0u);
  result.generated_tokens = last.value("eval_count", 0u);
  result.prompt_seconds = seconds(last, "prompt_eval_duration");
  result.generate_seconds = seconds(last, "eval_duration");
  const json receipt = last.value("receipt", json::object());
  result.seed = receipt.value("seed", uint64_t{0});
  result.prompt_evaluated = result.prompt_tokens - receipt.value("prefix_tokens_reused", 0u);
  result.receipt.kv_bytes = receipt.value("kv_bytes", uint64_t{0});
  result.receipt.peak_scratch = receipt.value("peak_scratch", uint64_t{0});
  result.receipt.prefix_bytes_reused = receipt.value("prefix_bytes_reused", uint64_t{0});
  result.receipt.pages_evicted = receipt.value("pages_evicted", uint64_t{0});
  result.receipt.tokens_cut = receipt.value("tokens_cut", uint64_t{0});
  return result;
}

}  // namespace

std::unique_ptr<DaemonSession> DaemonSession::find(const std::string& name) {
  const auto parsed = store::ModelName::parse(name);
  if (store::is_path(name) || !parsed) return nullptr;
  const auto address = daemon_address();
  if (!address) return nullptr;
  const auto report = server::ask_daemon(*address, "/memory", {}, kPatience);
  if (!report) return nullptr;
  // Where the name is an alias, the daemon knows the model by what it stands for.
  auto ours = open_store().resolve(name);
  const json row = find_row(*report, ours ? ours->name : parsed->display());
  if (!row.is_object()) return nullptr;
  store::StoredModel model;
  model.name = row.value("name", "");
  if (ours) {
    if (!ours->manifest || store::sha256(ours->manifest->to_json()).hex() != row.value("digest", ""))
      return nullptr;
    model = std::move(*ours);
  }
  auto shown = ask_what_it_shows(*address, model.name);
  if (!shown) return nullptr;
  std::unique_ptr<DaemonSession> session(
      new DaemonSession(std::move(model), std::move(shown->texts), *address));
  session->pid_ = report->value("pid", 0);
  session->daemon_ctx_ = row.value("context_size", 0u);
  session->thinks_ = shown->thinks;
  return session;
}

void DaemonSession::clear() {
  ChatSession::clear();
  transcript_.clear();
}

void DaemonSession::resize(std::uint32_t n_ctx) {
  if (n_ctx > daemon_ctx_) {
    throw MullamaError(StatusCode::unsupported,
                       fmt::format("the daemon at {} has the model with a context of {} tokens. For a larger "
                                   "one, run the model here: --no-daemon --ctx-size {}",
                                   address_.text(), daemon_ctx_, n_ctx));
  }
  n_ctx_ = n_ctx;
}

Answer DaemonSession::answer(const json& messages, const std::string& text, const AnswerOptions& options,
                             const Sink& sink) {
  json body = {{"model", stored().name}, {"stream", true}, {"options", options_json(options, n_ctx_)}};
  if (options.raw) {
    body["prompt"] = transcript_ + text;
    body["raw"] = true;
  } else {
    body["messages"] = messages;
  }
  if (!options.think.empty()) {
    const bool is_switch = options.think == "true" || options.think == "false";
    body["think"] = is_switch ? json(options.think == "true") : json(options.think);
  }
  if (!options.json_schema.empty())
    body["format"] = options.json_schema == "json" ? json("json") : json::parse(options.json_schema);
  Answer answer;
  json last;
  const auto on_document = [&](const nlohmann::ordered_json& document) {
    const auto& from = options.raw || !document.contains("message") ? document : document["message"];
    const std::string thinking = from.value("thinking", "");
    const std::string content = from.value(options.raw ? "response" : "content", "");
    answer.thinking += thinking;
    answer.content += content;
    if (sink && !thinking.empty()) sink(thinking, true);
    if (sink && !content.empty()) sink(content, false);
    if (document.value("done", false)) last = document;
  };
  std::atomic<int> socket{-1};
  const InterruptTarget target([&socket] {
    const int open = socket.load();
    if (open >= 0) ::shutdown(open, SHUT_RDWR);
  });
  const auto status = server::stream_from_daemon(address_, options.raw ? "/api/generate" : "/api/chat",
                                                 body.dump(-1, ' ', false, json::error_handler_t::replace),
                                                 socket, on_document);
  if (InterruptGuard::interrupted()) {
    answer.result.finish_reason = FinishReason::canceled;
  } else if (!status) {
    if (status.error().unreachable) throw DaemonUnreachable(status.error().message);
    api::throw_error(status.error());
  } else if (!last.is_object()) {
    throw DaemonUnreachable(fmt::format("the daemon at {} broke the answer off", address_.text()));
  } else {
    answer.result = result_of(last, options);
  }
  if (options.raw) transcript_ += text + answer.content;
  return answer;
}

json DaemonSession::state() const {
  const auto report = server::ask_daemon(address_, "/memory", {}, kPatience);
  json row = report ? find_row(*report, stored().name) : json();
  return row.is_object() ? row : json::object();
}

std::string DaemonSession::statistics(const Answer& answer) const {
  const json row = state();
  std::string out = timing_text(answer.result, 0, answer.total_seconds) + "\n";
  out += label_line("answered by:", fmt::format("the daemon at {}, pid {}", address_.text(), pid_));
  if (!row.empty()) {
    out += label_line("model size:", format_bytes(row.value("weight_bytes", uint64_t{0})) +
                                         ", shared by all who ask the daemon");
    out += label_line(
        "KV cache:",
        fmt::format("{} ({}), {} in use", format_bytes(row.value("kv_bytes", uint64_t{0})),
                    row.value("key_type", ""), format_bytes(row.value("kv_bytes_used", uint64_t{0}))));
    out += label_line("sequences:", fmt::format("{} of {} running, {} waiting", row.value("running", 0),
                                                row.value("parallel", 0), row.value("waiting", 0)));
  }
  out += label_line("context used:",
                    fmt::format("{}/{} tokens", answer.result.prompt_tokens + answer.result.generated_tokens,
                                n_ctx_.value_or(daemon_ctx_)));
  out += label_line("this request:", receipt_text(answer.result.receipt));
  return out + "\nThe daemon's memory, pool by pool: mullama daemon status\n";
}

json DaemonSession::document(const Answer& answer) const {
  json document = answer_fields(answer, stored().name, 0);
  document["daemon"] = {{"address", address_.text()}, {"pid", pid_}};
  document["memory"] = state();
  return document;
}

}  // namespace mullama::cli
