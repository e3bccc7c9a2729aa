#include "cli/slash_commands.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "cli/models.hpp"
#include "cli/sampling_options.hpp"
#include "cli/show.hpp"
#include "cli/terminal.hpp"
#include "sampling/parameter_table.hpp"
#include "store/pull.hpp"

namespace mullama::cli {

namespace {

constexpr std::string_view kHelp =
    "Available Commands:\n"
    "  /set             Set session variables\n"
    "  /show            Show model information\n"
    "  /load <model>    Load another model\n"
    "  /save <model>    Save the session as a model\n"
    "  /clear           Clear session context\n"
    "  /list            List models\n"
    "  /bye             Exit\n"
    "  /?, /help        Help for a command\n"
    "  /? shortcuts     Help for keyboard shortcuts\n"
    "\n"
    "Use \"\"\" to begin and end a multi-line message.\n";
constexpr std::string_view kSetHelp =
    "Available Commands:\n"
    "  /set parameter <name> <value>   Set a parameter: num_ctx, num_predict, stop, temperature, seed, "
    "top_k, ...\n"
    "  /set system <text>              Set the system message\n"
    "  /set history, nohistory         Keep a history of messages, or not\n"
    "  /set wordwrap, nowordwrap       Break lines between words, or not\n"
    "  /set think, nothink             Let the model think before it answers, or not; think low, medium or "
    "high\n"
    "                                  says how much where a model can be told\n"
    "  /set verbose, quiet             Show timings and memory after each answer, or not\n"
    "  /set format json                Answer in JSON; a file's name instead is its JSON Schema\n"
    "  /set noformat                   Answer in any form\n";
constexpr std::string_view kShowHelp =
    "Available Commands:\n"
    "  /show info         Details of the model\n"
    "  /show license      Its license\n"
    "  /show modelfile    A Modelfile that makes it\n"
    "  /show parameters   Parameters of the model and of this conversation\n"
    "  /show system       The system message\n"
    "  /show template     The chat template\n";
constexpr std::string_view kShortcuts =
    "Available keyboard shortcuts:\n"
    "  Ctrl + a            Move to the beginning of the line (Home)\n"
    "  Ctrl + e            Move to the end of the line (End)\n"
    "  Alt + b             Move back (left) one word\n"
    "  Alt + f             Move forward (right) one word\n"
    "  Ctrl + k            Delete the line after the cursor\n"
    "  Ctrl + u            Delete the line before the cursor\n"
    "  Ctrl + w            Delete the word before the cursor\n"
    "\n"
    "  Ctrl + l            Clear the screen\n"
    "  Ctrl + g            Edit the message in $EDITOR\n"
    "  Ctrl + c            Stop the model from responding\n"
    "  Ctrl + d            Exit (/bye)\n";

/// Splits off the first word.
std::string take_word(std::string& text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) {
    text.clear();
    return {};
  }
  const size_t end = std::min(text.find_first_of(" \t", begin), text.size());
  std::string word = text.substr(begin, end - begin);
  const size_t rest = text.find_first_not_of(" \t", end);
  text = rest == std::string::npos ? std::string() : text.substr(rest);
  return word;
}

std::string without_quotes(const std::string& text) {
  for (const std::string_view quotes : {"\"\"\"", "\""}) {
    if (text.size() >= 2 * quotes.size() && text.starts_with(quotes) && text.ends_with(quotes)) {
      return text.substr(quotes.size(), text.size() - 2 * quotes.size());
    }
  }
  return text;
}

Result<int64_t> integer(std::string_view name, std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value < min || value > max) {
    return fail(ErrorCode::invalid_argument, "parameter '{}' must be an integer from {} to {}, not '{}'",
                name, min, max, text);
  }
  return value;
}

Status set_parameter(ReplState& state, std::string rest) {
  const std::string name = take_word(rest);
  if (name.empty() || rest.empty())
    return fail(ErrorCode::invalid_argument, "usage: /set parameter <name> <value>");
  if (name == "num_ctx") {
    MULLAMA_ASSIGN(const int64_t cells, integer(name, rest, 1, INT32_MAX));
    state.session->resize(static_cast<uint32_t>(cells));
    state.settings.engine.ctx_size = static_cast<uint32_t>(cells);
  } else if (name == "num_predict") {
    MULLAMA_ASSIGN(const int64_t limit, integer(name, rest, -2, INT32_MAX));
    state.settings.max_tokens = static_cast<int32_t>(limit);
  } else if (name == "num_gpu") {
    MULLAMA_ASSIGN(const int64_t layers, integer(name, rest, -1, INT32_MAX));
    state.settings.engine.gpu_layers = static_cast<int>(layers);
    write_note("It takes effect with the next /load.\n");
  } else if (name == "stop") {
    state.settings.stop.clear();
    std::string words = rest;
    while (!words.empty()) state.settings.stop.push_back(without_quotes(take_word(words)));
  } else {
    const Status set = sampling::set_text(state.settings.sampler, name, rest);
    if (!set) return fail(ErrorCode::invalid_argument, "{}", set.error().message);
  }
  write_note(fmt::format("Set parameter '{}' to '{}'\n", name, rest));
  return {};
}

Status set(ReplState& state, std::string rest) {
  const std::string what = take_word(rest);
  if (what == "parameter") return set_parameter(state, rest);
  if (what == "system") {
    state.session->set_system(without_quotes(rest));
    write_note("Set system message.\n");
  } else if (what == "history" || what == "nohistory") {
    state.keep_history = what == "history";
  } else if (what == "wordwrap" || what == "nowordwrap") {
    state.settings.print.word_wrap = what == "wordwrap";
    write_note(fmt::format("Set '{}' mode.\n", what));
  } else if (what == "verbose" || what == "quiet") {
    state.settings.verbose = what == "verbose";
    write_note(fmt::format("Set '{}' mode.\n", what));
  } else if (what == "think" || what == "nothink") {
    const std::string level = what == "nothink" ? "false" : rest.empty() ? "true" : rest;
    MULLAMA_TRY(check_think(*state.session, level));
    state.settings.think = level;
    write_note(fmt::format("Set '{}' mode.\n", what));
  } else if (what == "format") {
    if (rest.empty()) return fail(ErrorCode::invalid_argument, "usage: /set format json, or a schema's file");
    MULLAMA_ASSIGN(state.settings.json_schema, read_format(rest));
    write_note(fmt::format("Set format to '{}' mode.\n", rest));
  } else if (what == "noformat") {
    state.settings.json_schema.clear();
    write_note("Disabled format.\n");
  } else if (what.empty()) {
    write_note(kSetHelp);
  } else {
    return fail(ErrorCode::invalid_argument, "unknown command '/set {}'. Type /? set for help", what);
  }
  return {};
}

std::string session_parameters(const ReplState& state) {
  const sampling::SamplerParams defaults;
  std::string out;
  for (const sampling::ParameterInfo& info : sampling::parameters()) {
    const std::string now = sampling::format_parameter(state.settings.sampler, info);
    if (now != sampling::format_parameter(defaults, info)) out += fmt::format("{} {}\n", info.name, now);
  }
  if (state.settings.max_tokens != -1) out += fmt::format("num_predict {}\n", state.settings.max_tokens);
  out += fmt::format("num_ctx {}\n", state.session->context_size());
  for (const std::string& stop : state.settings.stop)
    out += fmt::format("stop {}\n", store::quote_for_modelfile(stop));
  return out;
}

Status show(const ReplState& state, std::string rest) {
  const std::string what = take_word(rest);
  MULLAMA_ASSIGN(const ModelDescription model, ModelDescription::read(state.session->stored()));
  std::string text;
  if (what == "info") {
    text = model.sections(false);
  } else if (what == "license") {
    text = model.license();
  } else if (what == "modelfile") {
    text = store::to_modelfile(model.model, model.texts);
  } else if (what == "parameters") {
    text = "Model defined parameters:\n" + model.parameters() + "\nIn this conversation:\n" +
           session_parameters(state);
  } else if (what == "system") {
    text = state.session->system();
  } else if (what == "template") {
    text = model.chat_template();
  } else if (what.empty()) {
    write_note(kShowHelp);
    return {};
  } else {
    return fail(ErrorCode::invalid_argument, "unknown command '/show {}'. Type /? show for help", what);
  }
  if (text.empty()) {
    write_note(fmt::format("No {} was specified for this model.\n", what));
    return {};
  }
  if (text.back() != '\n') text += '\n';
  write_out(printable(text));
  flush_out();
  return {};
}

Status load(ReplState& state, const std::string& name) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "usage: /load <model>");
  MULLAMA_ASSIGN(auto session, open_session(name, state.settings, false));
  state.session = std::move(session);
  write_note(fmt::format("Loaded model '{}'\n", state.session->stored().name));
  return {};
}

/// Makes a model of the one in use and of what this conversation has set and said.
Status save(const ReplState& state, const std::string& name) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "usage: /save <model>");
  const ChatSession& session = *state.session;
  store::Modelfile file;
  file.from = session.stored().manifest ? session.stored().name : session.stored().weights.string();
  if (!session.system().empty()) file.system = session.system();
  const sampling::SamplerParams defaults;
  for (const std::string_view parameter :
       {"seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n",
        "presence_penalty", "frequency_penalty"}) {
    const sampling::ParameterInfo* info = sampling::find_parameter(parameter);
    if (info == nullptr) continue;
    const std::string now = sampling::format_parameter(state.settings.sampler, *info);
    if (now == sampling::format_parameter(defaults, *info)) continue;
    MULLAMA_TRY(store::add_parameter(file.parameters, parameter, now));
  }
  for (const std::string& stop : state.settings.stop)
    MULLAMA_TRY(store::add_parameter(file.parameters, "stop", stop));
  for (const auto& turn : session.conversation()) {
    const std::string role = turn.at("role").get<std::string>();
    if (role != "system") file.messages.push_back({role, turn.at("content").get<std::string>()});
  }
  MULLAMA_TRY(store::create(open_store(), name, file, std::filesystem::current_path(), {}));
  write_note(fmt::format("Created new model '{}'\n", name));
  return {};
}

Status list() {
  MULLAMA_ASSIGN(const auto entries, open_store().list());
  write_out(model_table(entries));
  flush_out();
  return {};
}

void help(std::string rest) {
  const std::string topic = take_word(rest);
  if (topic == "set" || topic == "/set") {
    write_note(kSetHelp);
  } else if (topic == "show" || topic == "/show") {
    write_note(kShowHelp);
  } else if (topic == "shortcut" || topic == "shortcuts") {
    write_note(kShortcuts);
  } else {
    write_note(kHelp);
  }
}

}  // namespace

Result<SlashResult> run_slash_command(ReplState& state, const std::string& line) {
  std::string rest = line;
  const std::string command = take_word(rest);
  if (command == "/bye" || command == "/exit" || command == "/quit") return SlashResult::leave;
  if (command == "/set") {
    MULLAMA_TRY(set(state, rest));
  } else if (command == "/show") {
    MULLAMA_TRY(show(state, rest));
  } else if (command == "/load") {
    MULLAMA_TRY(load(state, take_word(rest)));
  } else if (command == "/save") {
    MULLAMA_TRY(save(state, take_word(rest)));
  } else if (command == "/clear") {
    state.session->clear();
    write_note("Cleared session context\n");
  } else if (command == "/list" || command == "/ls") {
    MULLAMA_TRY(list());
  } else if (command == "/?" || command == "/help") {
    help(rest);
  } else {
    write_note(fmt::format("Unknown command '{}'. Type /? for help\n", command));
  }
  return SlashResult::stay;
}

}  // namespace mullama::cli
