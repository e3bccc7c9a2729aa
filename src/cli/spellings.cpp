#include "cli/spellings.hpp"

#include <array>
#include <string_view>

namespace mullama::cli {

namespace {

struct Spelling {
  std::string_view theirs;
  std::string_view ours;
};
// Short options of several letters would be read as a short option and its value, so they are replaced
// beforehand too.
constexpr std::array kSpellings{
    Spelling{"-ngl", "--gpu-layers"},
    Spelling{"--n-gpu-layers", "--gpu-layers"},
    Spelling{"--ngl", "--gpu-layers"},
    Spelling{"--num-gpu", "--gpu-layers"},
    Spelling{"-ctk", "--kv-cache-type-k"},
    Spelling{"--cache-type-k", "--kv-cache-type-k"},
    Spelling{"-ctv", "--kv-cache-type-v"},
    Spelling{"--cache-type-v", "--kv-cache-type-v"},
    Spelling{"-np", "--parallel"},
    Spelling{"--ctx_size", "--ctx-size"},
    Spelling{"--context-size", "--ctx-size"},
    Spelling{"--n-ctx", "--ctx-size"},
    Spelling{"--num-ctx", "--ctx-size"},
    Spelling{"--n-batch", "--batch-size"},
    Spelling{"--num-batch", "--batch-size"},
    Spelling{"--n-predict", "--max-tokens"},
    Spelling{"--predict", "--max-tokens"},
    Spelling{"--num-predict", "--max-tokens"},
    Spelling{"--num-thread", "--threads"},
    Spelling{"--temp", "--temperature"},
    Spelling{"--typical", "--typical-p"},
    Spelling{"--dynatemp-exp", "--dynatemp-exponent"},
    Spelling{"--mirostat-lr", "--mirostat-eta"},
    Spelling{"--mirostat-ent", "--mirostat-tau"},
    Spelling{"--system-prompt", "--system"},
    Spelling{"-sys", "--system"},
    Spelling{"--stats", "--verbose"},
    Spelling{"--no-wordwrap", "--nowordwrap"},
    Spelling{"--hide-thinking", "--hidethinking"},
    Spelling{"--mem-budget", "--memory-budget"},
};

}  // namespace

std::vector<std::string> with_our_spellings(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    const size_t equals = argument.find('=');
    const std::string_view key = std::string_view(argument).substr(0, equals);
    for (const Spelling& spelling : kSpellings) {
      if (key != spelling.theirs) continue;
      argument = std::string(spelling.ours) + (equals == std::string::npos ? "" : argument.substr(equals));
      break;
    }
  }
  return arguments;
}

}  // namespace mullama::cli
