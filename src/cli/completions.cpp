#include <memory>

#include "cli/command.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

std::vector<const CLI::App*> commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

/// The long options of a command, and its short ones.
std::vector<std::string> options(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_snames()) out.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
  }
  return out;
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? std::string() : std::string(" ")) + word;
  return out;
}

std::string command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands(app)) names.push_back(command->get_name());
  return join(names);
}

std::string bash_script(const CLI::App& app) {
  std::string script =
      "_mullama() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options=\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '" +
      command_names(app) +
      " --help --version' -- \"$word\")\n"
      "    return\n"
      "  fi\n"
      "  case $command in\n";
  for (const CLI::App* command : commands(app)) {
    script += fmt::format("    {}) options='{}' ;;\n", command->get_name(), join(options(*command)));
  }
  script +=
      "  esac\n"
      "  case $word in\n"
      "    -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n"
      "    *) mapfile -t COMPREPLY < <(compgen -W \"$(mullama list -q 2>/dev/null)\" -f -- \"$word\") ;;\n"
      "  esac\n"
      "}\n"
      "complete -o filenames -F _mullama mullama\n";
  return script;
}

/// Text for between single quotes, in zsh and fish.
std::string single_quoted(std::string text) {
  size_t at = 0;
  while ((at = text.find('\'', at)) != std::string::npos) {
    text.replace(at, 1, "'\\''");
    at += 4;
  }
  return "'" + text + "'";
}

std::string zsh_script(const CLI::App& app) {
  std::string script = "#compdef mullama\n_mullama() {\n  local -a commands options\n  commands=(\n";
  for (const CLI::App* command : commands(app)) {
    script += "    " + single_quoted(command->get_name() + ":" + command->get_description()) + "\n";
  }
  script +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  case $words[2] in\n";
  for (const CLI::App* command : commands(app)) {
    script += fmt::format("    {}) options=({}) ;;\n", command->get_name(), join(options(*command)));
  }
  script +=
      "  esac\n"
      "  if [[ $PREFIX == -* ]]; then\n"
      "    compadd -- $options\n"
      "  else\n"
      "    compadd -- ${(f)\"$(mullama list -q 2>/dev/null)\"}\n"
      "    _files\n"
      "  fi\n"
      "}\n"
      "_mullama \"$@\"\n";
  return script;
}

std::string fish_script(const CLI::App& app) {
  std::string script = "complete -c mullama -f\n";
  for (const CLI::App* command : commands(app)) {
    const std::string name = command->get_name();
    script += fmt::format("complete -c mullama -n __fish_use_subcommand -a {} -d {}\n", name,
                          single_quoted(command->get_description()));
    for (const CLI::Option* option : command->get_options()) {
      std::string names;
      for (const std::string& text : option->get_snames()) names += " -s " + text;
      for (const std::string& text : option->get_lnames()) names += " -l " + text;
      if (names.empty()) continue;
      script += fmt::format("complete -c mullama -n '__fish_seen_subcommand_from {}'{} -d {}\n", name, names,
                            single_quoted(option->get_description()));
    }
    script += fmt::format(
        "complete -c mullama -n '__fish_seen_subcommand_from {}' -F -a '(mullama list -q 2>/dev/null)'\n",
        name);
  }
  return script;
}

Result<int> print_completions(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") {
    write_out(bash_script(app));
  } else if (shell == "zsh") {
    write_out(zsh_script(app));
  } else if (shell == "fish") {
    write_out(fish_script(app));
  } else {
    return fail(ErrorCode::invalid_argument,
                "no completions for the shell '{}'; there are bash, zsh and fish", shell);
  }
  return 0;
}

}  // namespace

void add_completions(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("completions", "Print a shell's completion script");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->footer(
      "Examples:\n"
      "  mullama completions bash > /etc/bash_completion.d/mullama\n"
      "  mullama completions fish > ~/.config/fish/completions/mullama.fish");
  command->callback(
      [shell, &app, &action] { action = [shell, &app] { return print_completions(app, *shell); }; });
}

}  // namespace mullama::cli
