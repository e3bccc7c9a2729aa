#include <filesystem>
#include <memory>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/progress.hpp"
#include "cli/quantize.hpp"
#include "cli/terminal.hpp"
#include "sampling/parameter_table.hpp"
#include "store/disk.hpp"
#include "store/modelfile.hpp"
#include "store/pull.hpp"

namespace mullama::cli {

namespace {

namespace fs = std::filesystem;

struct CreateArguments {
  std::string name;
  std::string file = "Modelfile";
  std::string quantize;
  bool allow_requantize = false;
  bool quiet = false;
};

/// A parameter that nothing reads is most often a slip of the fingers.
void warn_about_unknown_parameters(const store::Modelfile& modelfile) {
  for (const auto& [name, value] : modelfile.parameters) {
    if (store::is_known_parameter(name) || sampling::find_parameter(name) != nullptr) continue;
    write_note(fmt::format("Warning: PARAMETER {} is unknown and has no effect\n", name));
  }
}

Result<store::Conversion> conversion(const CreateArguments& arguments, ProgressDisplay& display) {
  if (arguments.quantize.empty()) return store::Conversion();
  MULLAMA_ASSIGN(const quant::FileType type, file_type(arguments.quantize));
  api::apply_environment_budget();
  return store::Conversion(
      [&arguments, &display, type](const fs::path& weights, const fs::path& out) -> Status {
        quant::QuantizeOptions options;
        options.allow_requantize = arguments.allow_requantize;
        MULLAMA_TRY(quantize_with_progress(weights, out, type, options, display));
        return {};
      });
}

Result<int> create_model(const CreateArguments& arguments) {
  const fs::path path = arguments.file == "-" ? fs::path("/dev/stdin") : fs::path(arguments.file);
  auto text = store::read_text(path, store::Modelfile::kMaxBytes);
  if (!text) {
    // Exit code 3 is for models; a missing Modelfile is a wrong argument.
    const ErrorCode code =
        text.error().code == ErrorCode::not_found ? ErrorCode::invalid_argument : text.error().code;
    return fail(code, "{}. Give the Modelfile with -f", text.error().message);
  }
  MULLAMA_ASSIGN(const store::Modelfile modelfile, store::Modelfile::parse(*text));
  warn_about_unknown_parameters(modelfile);
  const fs::path folder = arguments.file == "-" ? fs::current_path() : fs::absolute(path).parent_path();
  const InterruptGuard guard(InterruptGuard::Heeds::interrupt_and_termination);
  ProgressDisplay display(arguments.quiet);
  store::PullOptions options;
  options.canceled = [] { return InterruptGuard::interrupted(); };
  options.progress = [&](const store::Progress& progress) { display.update(progress); };
  MULLAMA_ASSIGN(const store::Conversion convert, conversion(arguments, display));
  MULLAMA_ASSIGN(const auto model,
                 store::create(open_store(), arguments.name, modelfile, folder, options, convert));
  display.update("success", 0, 0);
  return 0;
}

}  // namespace

void add_create(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("create", "Make a model from a Modelfile");
  const auto arguments = std::make_shared<CreateArguments>();
  command->add_option("NAME", arguments->name, "Name of the new model")->required();
  command->add_option("-f,--file", arguments->file, "The Modelfile; - is standard input")
      ->capture_default_str();
  command->add_option("-q,--quantize", arguments->quantize,
                      "Quantize the weights: Q8_0, Q4_K_M, ... as in mullama quantize");
  command->add_flag("--allow-requantize", arguments->allow_requantize,
                    "Quantize weights that are quantized already; each step loses quality");
  command->add_flag("--quiet", arguments->quiet, "No progress");
  command->footer(
      "Examples:\n"
      "  mullama create pirate -f Modelfile\n"
      "  echo 'FROM ./model.gguf' | mullama create mine:1b -f -\n"
      "  mullama create mine:q4 --quantize Q4_K_M\n"
      "\nA Modelfile has the lines FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, LICENSE and ADAPTER:\n"
      "  FROM smollm2:135m\n"
      "  PARAMETER temperature 0.2\n"
      "  SYSTEM \"\"\"You are a pirate.\"\"\"");
  command->callback([arguments, &action] { action = [arguments] { return create_model(*arguments); }; });
}

}  // namespace mullama::cli
