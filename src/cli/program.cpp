#include "cli/program.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <new>
#include <signal.h>
#include <unistd.h>

#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/spellings.hpp"
#include "cli/terminal.hpp"
#include "mullama/mullama.hpp"
#include "store/suggest.hpp"

namespace mullama::cli {

namespace {

void add_commands(CLI::App& app, Action& action) {
  add_run(app, action);
  add_show(app, action);
  add_list(app, action);
  add_pull(app, action);
  add_create(app, action);
  add_cp(app, action);
  add_rm(app, action);
  add_tokenize(app, action);
  add_embed(app, action);
  add_render(app, action);
  add_serve(app, action);
  add_daemon(app, action);
  add_ps(app, action);
  add_stop(app, action);
  add_plan(app, action);
  add_quantize(app, action);
  add_perplexity(app, action);
  add_kv_quality(app, action);
  add_bench(app, action);
  add_completions(app, action);
}

int report(std::string_view message, int code) {
  write_note(fmt::format("Error: {}\n", message));
  return code;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    const auto& aliases = command->get_aliases();
    names.insert(names.end(), aliases.begin(), aliases.end());
  }
  return names;
}

/// A command's words behind "mullama": "run", "daemon start".
std::string words_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  if (parent == nullptr || parent->get_parent() == nullptr) return command.get_name();
  return fmt::format("{} {}", words_of(*parent), command.get_name());
}

/// The message for an option that the chosen command does not have, with the one that was probably meant.
std::string unknown_option(const CLI::App& command, const std::string& typed) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string name = typed.substr(0, typed.find('='));
  const auto near = store::nearest(name, known);
  const std::string hint = near ? fmt::format(" Did you mean '{}'?", *near) : "";
  return fmt::format("unknown option '{}'.{} See: mullama {} --help", name, hint, words_of(command));
}

/// The message for a value that is not of its option's type.
std::string unreadable_value(const CLI::App& command, const CLI::ConversionError& error) {
  for (const CLI::Option* option : command.get_options()) {
    const auto& values = option->results();
    if (values.empty() ||
        std::string_view(error.what()) != CLI::ConversionError(option->get_name(), values).what())
      continue;
    const std::string type = option->get_type_name();
    const std::string_view kind = type == "INT" || type == "UINT" ? "a whole number in range"
                                  : type == "FLOAT"               ? "a number in range"
                                                                  : "of another kind";
    return fmt::format("{} must be {}, not '{}'. See: mullama {} --help", option->get_name(), kind,
                       values.back(), words_of(command));
  }
  return fmt::format("{}. See: mullama {} --help", error.what(), words_of(command));
}

/// The message for a word where one of the command's own commands must stand.
std::string unknown_command(const CLI::App& command, const std::string& typed) {
  const auto near = store::nearest(typed, command_names(command));
  const std::string hint = near ? fmt::format(" Did you mean '{}'?", *near) : "";
  return fmt::format("unknown command '{} {}'.{} See: mullama {} --help", words_of(command), typed, hint,
                     words_of(command));
}

/// The innermost command that was typed, or one outside it that got words it has no use for.
const CLI::App& command_at_fault(const CLI::App& app) {
  const CLI::App* command = &app;
  for (auto inner = app.get_subcommands(); !inner.empty(); inner = command->get_subcommands()) {
    command = inner.front();
    if (!command->remaining().empty()) break;
  }
  return *command;
}

std::string describe(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = command_at_fault(app);
  if (&command == &app) return fmt::format("{}. See: mullama --help", error.what());
  if (const auto* conversion = dynamic_cast<const CLI::ConversionError*>(&error))
    return unreadable_value(command, *conversion);
  const std::vector<std::string> left = command.remaining();
  const auto option =
      std::ranges::find_if(left, [](const std::string& text) { return text.size() > 1 && text[0] == '-'; });
  if (option != left.end()) return unknown_option(command, *option);
  if (!left.empty() && !command_names(command).empty()) return unknown_command(command, left.front());
  if (!left.empty())
    return fmt::format("unexpected argument '{}'. See: mullama {} --help", left.front(), words_of(command));
  return fmt::format("{}. See: mullama {} --help", error.what(), words_of(command));
}

/// `help` and `help COMMAND` are --help and COMMAND --help.
std::vector<std::string> without_help_command(std::vector<std::string> arguments) {
  if (arguments.front() != "help") return arguments;
  arguments.erase(arguments.begin());
  arguments.emplace_back("--help");
  return arguments;
}

int run_action(const Action& action) {
  try {
    const Result<int> result = action();
    flush_out();
    if (result) return *result;
    if (result.error().code == ErrorCode::canceled) return kInterrupted;
    return report(result.error().message, exit_code(result.error().code));
  } catch (const DaemonUnreachable& error) {
    flush_out();
    return report(error.what(), kDaemonUnreachable);
  } catch (const MullamaError& error) {
    flush_out();
    if (error.code() == StatusCode::canceled) return kInterrupted;
    return report(error.what(), exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    flush_out();
    return report("out of memory", kGeneral);
  }
}

}  // namespace

namespace {

/// A file that is opened later must not take the number of a standard stream that is closed: what is written
/// to the stream would land in the file.
void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

int parse_and_run(std::vector<std::string> arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // write_out() notices a reader that has gone; sockets must not end the program
  set_up_locale();

  CLI::App app("Run large language models on this machine.", "mullama");
  app.set_version_flag("-v,--version", fmt::format("mullama {}", version()));
  app.require_subcommand(1);
  // An alias of the shell may bring options that are then typed again.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.footer(
      "Examples:\n"
      "  mullama run smollm2:135m \"Why is the sky blue?\"\n"
      "  mullama run smollm2:135m\n"
      "  mullama show smollm2:135m\n"
      "\nEach command has a --help with examples. Models are kept in MULLAMA_MODELS_DIR (default "
      "~/.mullama/models).");
  Action action;
  add_commands(app, action);

  if (arguments.empty()) {
    write_note(app.help());
    return kBadArguments;
  }
  arguments = without_help_command(std::move(arguments));
  if (const std::string& first = arguments.front(); !first.empty() && first[0] != '-') {
    const std::vector<std::string> names = command_names(app);
    if (std::ranges::find(names, first) == names.end()) {
      const auto near = store::nearest(first, names);
      const std::string hint = near ? fmt::format(" Did you mean '{}'?", *near) : "";
      return report(fmt::format("unknown command '{}'.{} See: mullama --help", first, hint), kBadArguments);
    }
  }
  arguments = with_our_spellings(std::move(arguments));
  std::ranges::reverse(arguments);  // CLI11 takes them last first
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    write_out(app.help());
    flush_out();
    return kOk;
  } catch (const CLI::CallForVersion& version_text) {
    write_out(fmt::format("{}\n", version_text.what()));
    flush_out();
    return kOk;
  } catch (const CLI::ParseError& error) {
    return report(describe(app, error), kBadArguments);
  }
  return run_action(action);
}

}  // namespace

int run_program(std::vector<std::string> arguments) {
  open_standard_streams();
  const int code = parse_and_run(std::move(arguments));
  flush_out();
  if (code == kOk && std::ferror(stdout) != 0)
    return report("not all output could be written. Is the disk full that it goes to?", kGeneral);
  return code;
}

}  // namespace mullama::cli
