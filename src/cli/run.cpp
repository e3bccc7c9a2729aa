#include "cli/run.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admission.hpp"
#include "cli/command.hpp"
#include "cli/daemon_session.hpp"
#include "cli/exit_code.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/local_session.hpp"
#include "cli/models.hpp"
#include "cli/sampling_options.hpp"
#include "cli/spinner.hpp"
#include "cli/terminal.hpp"
#include "sampling/grammar/grammar.hpp"
#include "server/service.hpp"
#include "store/answering.hpp"
#include "text/chat/thinking.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

struct RunArguments {
  std::string model;
  std::vector<std::string> words;
  bool interactive = false;
  bool as_json = false;
  bool no_stream = false;
  bool no_word_wrap = false;
  bool quiet = false;
  std::optional<std::string> system;
  std::vector<std::string> stop;
  std::optional<int32_t> max_tokens;
  std::string format;
  std::string think;
  std::string keep_alive;
  RunSettings settings;
};

/// Whether standard input can hold a text to read: a pipe, a file or a socket, but neither a terminal nor
/// /dev/null.
bool has_piped_input() {
  struct stat info {};
  if (::fstat(STDIN_FILENO, &info) != 0) return false;
  return S_ISFIFO(info.st_mode) || S_ISREG(info.st_mode) || S_ISSOCK(info.st_mode);
}

/// Standard input's text, then the words of the command line; "-" among them stands for standard input.
Result<std::string> gather_prompt(std::vector<std::string> words) {
  const bool dash = std::erase(words, "-") > 0;
  const std::string typed = join_words(words);
  if (!dash && !has_piped_input()) return typed;
  MULLAMA_ASSIGN(std::string piped, read_stdin());
  if (typed.empty()) return piped;
  if (!piped.empty() && piped.back() != '\n') piped += '\n';
  return piped + typed;
}

/// What flags leave open is filled from the model's own parameters.
Result<RunSettings> settle(const RunArguments& arguments, RunSettings settings,
                           const store::Parameters& defaults) {
  MULLAMA_ASSIGN(settings.sampler, resolve(settings.sampling, defaults));
  settings.stop = arguments.stop;
  for (const auto& [name, value] : defaults) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&value);
        texts != nullptr && name == "stop") {
      settings.stop.insert(settings.stop.end(), texts->begin(), texts->end());
    }
    if (const auto* number = std::get_if<int64_t>(&value); number != nullptr && name == "num_predict") {
      if (std::in_range<int32_t>(*number)) settings.max_tokens = static_cast<int32_t>(*number);
    }
  }
  if (arguments.max_tokens) settings.max_tokens = *arguments.max_tokens;
  // -2 is other tools' way to say: until the context is full.
  if (settings.max_tokens < -2) {
    return fail(ErrorCode::invalid_argument, "--max-tokens must be -1 or more, not {}", settings.max_tokens);
  }
  settings.print.word_wrap = !arguments.no_word_wrap;
  return settings;
}

/// JSON on standard output is for programs: no thoughts before it, no line breaks within.
PrintOptions print_options(const RunSettings& settings) {
  PrintOptions options = settings.print;
  if (settings.json_schema.empty()) return options;
  options.hide_thinking = true;
  options.word_wrap = false;
  return options;
}

/// Whether the answer is one of the format asked for; a note says why not.
bool is_whole(const Answer& answer, const RunSettings& settings) {
  const FinishReason reason = answer.result.finish_reason;
  if (settings.json_schema.empty() || reason == FinishReason::stop) return true;
  write_note(fmt::format("Note: the answer was cut off before its JSON was complete ({}){}\n",
                         to_string(reason), reason == FinishReason::length ? "; raise --max-tokens" : ""));
  return false;
}

void note_full_context(ChatSession& session, const Answer& answer, const RunSettings& settings) {
  if (answer.result.finish_reason != FinishReason::context_full) return;
  write_note(fmt::format(
      "Note: the context of {} tokens is full, so the answer was cut. Try a larger --ctx-size{}\n",
      session.context_size(), settings.grow ? "" : ", or --grow"));
}

/// The whole answer at its end: as JSON, or as text with --no-stream.
Answer answer_at_once(ChatSession& session, const std::string& prompt, const RunSettings& settings,
                      bool as_json) {
  const Answer answer = session.ask(prompt, settings.answer_options(), nullptr);
  if (as_json) {
    write_out(session.document(answer).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  } else {
    AnswerPrinter printer(print_options(settings));
    if (!answer.thinking.empty()) printer.print(answer.thinking, true);
    printer.print(answer.content, false);
    printer.finish();
  }
  note_full_context(session, answer, settings);
  if (settings.release_idle) session.release_idle();
  if (settings.verbose) write_note("\n" + session.statistics(answer));
  return answer;
}

Result<int> run(const RunArguments& arguments) {
  const bool both_terminals = is_terminal(stdin) && is_terminal(stdout);
  const bool interactive = arguments.interactive || (arguments.words.empty() && both_terminals);
  std::string prompt = join_words(arguments.words);
  if (!interactive) {
    MULLAMA_ASSIGN(prompt, gather_prompt(arguments.words));
    if (prompt.empty()) {
      return fail(ErrorCode::invalid_argument,
                  "there is no prompt. Give one after the model, pipe one in, or add --interactive");
    }
  }
  RunSettings asked = arguments.settings;
  if (!arguments.keep_alive.empty()) {
    MULLAMA_ASSIGN(const auto keep, server::KeepAlive::parse(arguments.keep_alive));
    if (keep.after != server::KeepAlive::kForever)
      asked.keep_alive = std::chrono::ceil<std::chrono::milliseconds>(keep.after);
  }
  if (!arguments.format.empty()) {
    MULLAMA_ASSIGN(asked.json_schema, read_format(arguments.format));
  }
  MULLAMA_ASSIGN(std::unique_ptr<ChatSession> session, open_session(arguments.model, asked, arguments.quiet));
  if (arguments.system) session->set_system(*arguments.system);
  MULLAMA_ASSIGN(RunSettings settings, settle(arguments, std::move(asked), session->texts().parameters));
  if (!arguments.think.empty()) {
    MULLAMA_TRY(check_think(*session, arguments.think));
    settings.think = arguments.think;
  }
  if (interactive) return run_repl(std::move(session), std::move(settings), prompt);

  const InterruptGuard guard;
  const bool at_once = arguments.as_json || arguments.no_stream;
  const Answer answer = at_once ? answer_at_once(*session, prompt, settings, arguments.as_json)
                                : ask_and_print(*session, prompt, settings);
  const bool whole = is_whole(answer, settings);
  if (answer.result.finish_reason == FinishReason::canceled) return kInterrupted;
  return whole ? kOk : kGeneral;
}

}  // namespace

AnswerOptions RunSettings::answer_options() const {
  return {sampler, max_tokens, stop, raw, json_schema, think};
}

Result<std::string> read_format(const std::string& format) {
  if (format == "json") return format;
  MULLAMA_ASSIGN(const std::string text, read_input(format));
  const auto schema = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!schema.is_object() && !schema.is_boolean())
    return fail(ErrorCode::invalid_argument, "{} is not a JSON Schema; --format takes json or such a file",
                format);
  MULLAMA_TRY(sampling::Grammar::from_json_schema(schema));
  return text;
}

Status check_think(ChatSession& session, const std::string& think) {
  constexpr std::array<std::string_view, 5> kKnown{"true", "false", "low", "medium", "high"};
  if (std::ranges::find(kKnown, think) == kKnown.end())
    return fail(ErrorCode::invalid_argument, "think is true, false, low, medium or high, not '{}'", think);
  if (think != "false" && !session.supports_thinking())
    return fail(ErrorCode::invalid_argument, "model '{}' does not support thinking", session.stored().name);
  return {};
}

Result<std::unique_ptr<ChatSession>> open_session(const std::string& name, const RunSettings& settings,
                                                  bool quiet) {
  if (!settings.no_daemon) {
    auto session = DaemonSession::find(name);
    const bool local = settings.engine != EngineArguments() || settings.fit || settings.grow ||
                       settings.release_idle || settings.keep_alive;
    if (session && !local) return session;
    if (session && !quiet) {
      write_note(fmt::format(
          "Note: the daemon at {} has {} in memory. Flags about memory and machine are for a model of this "
          "process, so it is loaded here as well; leave them out to ask the daemon\n",
          session->address(), session->stored().name));
    }
  }
  MULLAMA_ASSIGN(store::StoredModel model, find_model(name, quiet));
  MULLAMA_ASSIGN(store::ModelTexts texts, store::read_texts(model));
  MULLAMA_ASSIGN(EngineParams params, resolve(settings.engine, texts.parameters));
  MULLAMA_TRY(store::check_can_answer(model, texts));
  if (!params.memory_budget.empty()) set_memory_budget(params.memory_budget);
  Admission admission;
  admission.fit = settings.fit;
  admission.restricted = !settings.json_schema.empty();
  MULLAMA_ASSIGN(admission.sampler, resolve(settings.sampling, texts.parameters));
  MULLAMA_TRY(admit_run(model.weights, admission, params));
  params.context.grow = settings.grow;
  std::unique_ptr<LocalSession> session;
  {
    const Spinner spinner("loading " + model.name, quiet);
    session = std::make_unique<LocalSession>(std::move(model), std::move(texts), std::move(params));
  }
  if (!settings.raw && !quiet && is_terminal(stderr) && session->is_base_model()) {
    write_note(fmt::format("Note: {} has no chat template: a base model, which goes on with your text\n",
                           session->stored().name));
  }
  return session;
}

Answer ask_and_print(ChatSession& session, const std::string& text, const RunSettings& settings) {
  AnswerPrinter printer(print_options(settings));
  Answer answer;
  try {
    answer = session.ask(text, settings.answer_options(),
                         [&](std::string_view piece, bool thought) { printer.print(piece, thought); });
  } catch (const MullamaError&) {
    printer.abandon();
    throw;
  }
  printer.finish();
  note_full_context(session, answer, settings);
  if (settings.release_idle) session.release_idle();
  if (settings.verbose) write_note("\n" + session.statistics(answer));
  return answer;
}

void add_run(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "Ask a model, or talk with it");
  const auto arguments = std::make_shared<RunArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_option("PROMPT", arguments->words,
                      "The question; - is standard input, which also comes before it if piped");
  command->add_flag("-i,--interactive", arguments->interactive,
                    "Talk, even if a prompt is given or standard input is piped");
  command->add_flag("-v,--verbose", arguments->settings.verbose, "Timings and memory after each answer");
  command->add_flag("--json", arguments->as_json, "Print the answer with its timings and memory as JSON");
  command->add_flag("--no-stream", arguments->no_stream, "Print the answer when it is complete");
  command->add_flag("--raw", arguments->settings.raw, "Continue the text, without the model's chat template");
  command->add_option("-s,--system", arguments->system, "System message");
  command->add_option("-n,--max-tokens", arguments->max_tokens,
                      "Longest answer in tokens; -1 is until the model ends");
  command->add_option("--stop", arguments->stop, "End the answer before this text; can be repeated")
      ->allow_extra_args(false);
  command->add_option("--format", arguments->format,
                      "What the answer must be: json, or a file with a JSON Schema");
  command->add_flag(
      "--think{true}", arguments->think,
      "Let the model think before it answers, or with --think=false not; low, medium or high say how "
      "much where a model can be told");
  command->add_flag("--hidethinking", arguments->settings.print.hide_thinking,
                    "Do not print what the model thinks");
  command->add_flag("--nowordwrap", arguments->no_word_wrap, "Do not break lines between words");
  command->add_option(
      "--keepalive,--keep-alive", arguments->keep_alive,
      "How long a conversation that waits for you keeps the model in memory, such as 5m; 0 is not at "
      "all, -1 as long as it lasts (the default)");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress of pulls and loads");
  add_sampling_options(*command, arguments->settings.sampling);
  add_engine_options(*command, arguments->settings.engine);
  command->add_flag("--fit", arguments->settings.fit,
                    "Choose the context and KV type that fit the budget, or the memory there is");
  command->add_flag(
      "--grow", arguments->settings.grow,
      "Let a full context go on in a larger one, within the budget; where memory is short with a "
      "smaller batch, then with a smaller KV type. Each step is told");
  command->add_flag("--no-daemon", arguments->settings.no_daemon,
                    "Load the model in this process even if a daemon has it in memory");
  command->add_flag("--release-idle", arguments->settings.release_idle,
                    "Give the memory of unused KV pages back after each answer");
  command->footer(
      "Examples:\n"
      "  mullama run smollm2:135m \"Why is the sky blue?\"\n"
      "  mullama run smollm2:135m\n"
      "  mullama run ./model.gguf \"Hello!\" --ctx-size 512 --kv-cache-type q8_0 --verbose\n"
      "  cat notes.txt | mullama run smollm2:135m \"Summarize this.\" --temperature 0\n"
      "  mullama run smollm2:135m \"Three colours, as JSON\" --format json | jq .\n"
      "  mullama run qwen3:0.6b \"What is 17 * 23?\" --think=false\n"
      "  mullama run smollm2:135m --keepalive 5m\n"
      "  mullama run gemma3:270m --raw \"Once upon a time\" --max-tokens 50 --seed 7\n"
      "\nA daemon that has the model in memory answers (mullama daemon start --model NAME); none is ever "
      "started.\nFlags about memory and machine, --fit, --grow, --release-idle, --keepalive and --no-daemon "
      "load the model here.\n"
      "\nWithout a prompt, on a terminal, it talks; /? shows the commands. Lines typed there are kept in "
      "~/.mullama/history,\nunless OLLAMA_NOHISTORY is set.\n"
      "\nExit codes: 0 ok, 2 the daemon that answered is gone, 3 model not found, 4 bad arguments, 5 "
      "download, 6 the daemon\ntook too long, 7 not permitted (--mlock=require), 8 memory budget exceeded, "
      "130 interrupted, 1 anything else.\nEnvironment variables: see mullama serve --help.");
  command->callback([arguments, &action] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace mullama::cli
