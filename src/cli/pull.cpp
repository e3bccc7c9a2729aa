#include <memory>

#include "cli/command.hpp"
#include "cli/models.hpp"

namespace mullama::cli {

namespace {

struct PullArguments {
  std::string source;
  std::string name;
  bool quiet = false;
};

}  // namespace

void add_pull(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("pull", "Fetch a model into the models folder");
  const auto arguments = std::make_shared<PullArguments>();
  command
      ->add_option("SOURCE", arguments->source,
                   "A name, hf:organization/repository of the Hugging Face hub, or the address of a .gguf "
                   "file or of a "
                   "registry's model")
      ->required();
  command->add_option("--name", arguments->name, "Name to store a file or address under");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  command->footer(
      "Examples:\n"
      "  mullama pull smollm2:135m\n"
      "  mullama pull gemma3:270m\n"
      "  mullama pull hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M\n"
      "  mullama pull file:///home/me/model.gguf --name mine:1b\n"
      "  mullama pull https://example.org/model.gguf#sha256=HEX\n"
      "\nAfter hf: a repository may have :FILE or :QUANTIZATION and @REVISION; HF_TOKEN opens what needs a "
      "token.\n"
      "An interrupted pull goes on where it stopped. Nothing gets its name before its checksum was "
      "verified.");
  command->callback([arguments, &action] {
    action = [arguments]() -> Result<int> {
      MULLAMA_ASSIGN(const auto model,
                     pull_with_progress(open_store(), arguments->source, arguments->name, arguments->quiet));
      return 0;
    };
  });
}

}  // namespace mullama::cli
