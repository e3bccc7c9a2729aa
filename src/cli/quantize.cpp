#include "cli/quantize.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include "api/impl.hpp"
#include "cli/command.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

struct QuantizeArguments {
  std::string in;
  std::string out;
  std::string type;
  bool allow_requantize = false;
  bool quiet = false;
  unsigned threads = 0;
};

std::string type_names() {
  std::string names;
  for (const quant::FileTypeInfo& info : quant::file_types()) {
    if (!names.empty()) names += ", ";
    names += info.name;
  }
  return names;
}

Result<int> quantize(const QuantizeArguments& arguments) {
  MULLAMA_ASSIGN(const quant::FileType type, file_type(arguments.type));
  MULLAMA_ASSIGN(const store::StoredModel model, find_model(arguments.in, arguments.quiet));
  api::apply_environment_budget();
  const InterruptGuard guard(InterruptGuard::Heeds::interrupt_and_termination);
  ProgressDisplay display(arguments.quiet);
  quant::QuantizeOptions options;
  options.allow_requantize = arguments.allow_requantize;
  options.threads = arguments.threads;
  const auto started = std::chrono::steady_clock::now();
  auto report = quantize_with_progress(model.weights, arguments.out, type, options, display);
  display.finish();
  if (!report) return tl::unexpected<Error>(std::move(report).error());
  if (!arguments.quiet) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    write_note(fmt::format("{}: {} -> {}, {} of {} tensors converted in {}\n", arguments.out,
                           short_size(report->bytes_before), short_size(report->bytes_after),
                           report->converted, report->tensors, short_duration(seconds)));
    if (report->fallbacks > 0) {
      write_note(
          fmt::format("{} tensors have rows that do not fill the blocks of their type and got another one\n",
                      report->fallbacks));
    }
  }
  return 0;
}

}  // namespace

Result<quant::FileType> file_type(std::string_view name) {
  const auto type = quant::file_type_from_name(name);
  if (!type) return fail(ErrorCode::invalid_argument, "unknown type '{}'; valid are {}", name, type_names());
  return *type;
}

Result<quant::QuantizeReport> quantize_with_progress(const std::filesystem::path& in,
                                                     const std::filesystem::path& out, quant::FileType type,
                                                     const quant::QuantizeOptions& options,
                                                     ProgressDisplay& display) {
  const std::string status = fmt::format("quantizing to {}", quant::info(type).name);
  return quant::quantize_file(in, out, type, options, [&](const quant::QuantizeProgress& now) {
    // Progress is shown in bytes of the source's values at four bytes each: only its share matters.
    display.update(status, 4 * now.values_done, 4 * now.values);
    return !InterruptGuard::interrupted();
  });
}

void add_quantize(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("quantize", "Write a smaller copy of a model");
  const auto arguments = std::make_shared<QuantizeArguments>();
  command->add_option("IN", arguments->in, "Model in F32, F16 or BF16: a name or a .gguf file")->required();
  command->add_option("OUT", arguments->out, "The .gguf file to write")->required();
  command->add_option("TYPE", arguments->type, "Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q3_K_M, Q4_0, ...")->required();
  command->add_flag("--allow-requantize", arguments->allow_requantize,
                    "Accept a model that is quantized already; quality is lost twice");
  command->add_option("--threads", arguments->threads, "Threads to use; 0 is one for each CPU");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  command->footer(
      "Examples:\n"
      "  mullama quantize model-f16.gguf model-q4.gguf Q4_K_M\n"
      "\nTypes: " +
      type_names());
  command->callback([arguments, &action] { action = [arguments] { return quantize(*arguments); }; });
}

}  // namespace mullama::cli
