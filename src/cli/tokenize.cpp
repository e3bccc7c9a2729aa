#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/input.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"
#include "gguf/file.hpp"
#include "memory/ledger.hpp"
#include "text/tokenizer.hpp"

namespace mullama::cli {

namespace {

struct TokenizeArguments {
  std::string model;
  std::vector<std::string> words;
  std::string pre;
  bool json = false;
  bool bos = false;
  bool special = false;
  bool count = false;
};

Result<int> tokenize(const TokenizeArguments& arguments) {
  MULLAMA_ASSIGN(const store::StoredModel model, find_model(arguments.model, false));
  MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(model.weights));
  api::apply_environment_budget();
  MULLAMA_ASSIGN(const text::Tokenizer tokenizer,
                 text::Tokenizer::create(file, memory::Ledger::process(), {arguments.pre}));
  std::string text;
  if (arguments.words.empty() || arguments.words == std::vector<std::string>{"-"}) {
    MULLAMA_ASSIGN(text, read_stdin());
  } else {
    text = join_words(arguments.words);
  }
  MULLAMA_ASSIGN(const std::vector<text::TokenId> ids,
                 tokenizer.encode(text, {arguments.bos, arguments.special}));
  if (arguments.count) {
    write_out(fmt::format("{}\n", ids.size()));
  } else if (arguments.json) {
    write_out(nlohmann::json(ids).dump() + "\n");
  } else {
    for (const text::TokenId id : ids)
      write_out(fmt::format("{:>8}  {}\n", id, quote_bytes(tokenizer.piece(id, true))));
  }
  return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("tokenize", "Show the tokens of a text");
  const auto arguments = std::make_shared<TokenizeArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file; its vocabulary suffices")
      ->required();
  command->add_option("TEXT", arguments->words, "The text; without it, or with -, standard input");
  command->add_flag("--json", arguments->json, "Print the ids as a JSON array");
  command->add_flag("--count", arguments->count, "Print only how many tokens there are");
  command->add_flag("--bos", arguments->bos, "Add the special tokens that the model wants around a text");
  command->add_flag("--special", arguments->special, "Take the texts of special tokens for the tokens");
  command->add_option("--pre", arguments->pre, "Pre-tokenizer to use instead of the file's");
  command->footer(
      "Examples:\n"
      "  mullama tokenize smollm2:135m 'Hello world'\n"
      "  mullama tokenize ./vocab.gguf --json --bos < text.txt");
  command->callback([arguments, &action] { action = [arguments] { return tokenize(*arguments); }; });
}

}  // namespace mullama::cli
