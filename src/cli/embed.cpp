#include <algorithm>
#include <fmt/ranges.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/admission.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/spinner.hpp"
#include "cli/terminal.hpp"
#include "engine/embedding.hpp"
#include "store/details.hpp"

namespace mullama::cli {

namespace {

struct EmbedArguments {
  std::string model;
  std::vector<std::string> texts;
  bool lines = false;
  std::string pooling = "mean";
  std::optional<uint32_t> dimensions;
  bool no_normalize = false;
  bool as_json = false;
  bool quiet = false;
  EngineArguments engine;
};

Result<Pooling> pooling_of(std::string_view name) {
  if (name == "mean") return Pooling::mean;
  if (name == "first") return Pooling::first;
  if (name == "last") return Pooling::last;
  return fail(ErrorCode::invalid_argument, "--pooling must be mean, first or last, not '{}'", name);
}

/// The texts of a command line: each argument is one; without any, all of standard input is, or with --lines
/// each of its lines that is not empty.
class Texts {
 public:
  static Result<Texts> read(const EmbedArguments& arguments) {
    Texts out;
    out.lines_ = arguments.lines;
    out.given_ = arguments.texts;
    if (!out.given_.empty() && out.given_ != std::vector<std::string>{"-"}) {
      if (arguments.lines) return fail(ErrorCode::invalid_argument, "--lines is for texts on standard input");
    } else {
      out.given_.resize(1);
      MULLAMA_ASSIGN(out.given_.front(), read_stdin());
    }
    const bool empty = arguments.lines ? out.given_.front().find_first_not_of("\r\n") == std::string::npos
                                       : std::ranges::any_of(out.given_, &std::string::empty);
    if (empty)
      return fail(ErrorCode::invalid_argument,
                  "an empty text has no embedding. Give one as an argument or on standard input");
    return out;
  }

  /// Valid as long as this object; nothing after the last.
  std::optional<std::string_view> next() {
    while (at_ < given_.size()) {
      const std::string_view text = given_[at_];
      if (!lines_) {
        ++at_;
        return text;
      }
      const size_t end = std::min(text.find('\n', in_text_), text.size());
      std::string_view line = text.substr(in_text_, end - in_text_);
      in_text_ = end + 1;
      if (in_text_ >= text.size()) ++at_;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty()) return line;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::string> given_;
  bool lines_ = false;
  size_t at_ = 0;
  size_t in_text_ = 0;
};

Result<int> embed(const EmbedArguments& arguments) {
  MULLAMA_ASSIGN(const Pooling pooling, pooling_of(arguments.pooling));
  MULLAMA_ASSIGN(Texts texts, Texts::read(arguments));
  MULLAMA_ASSIGN(const store::StoredModel stored, find_model(arguments.model, arguments.quiet));
  MULLAMA_ASSIGN(const store::ModelTexts own, store::read_texts(stored));
  MULLAMA_ASSIGN(EngineParams params, resolve(arguments.engine, own.parameters));
  if (!params.memory_budget.empty()) set_memory_budget(params.memory_budget);
  MULLAMA_TRY(admit_run(stored.weights, {}, params));
  std::optional<Model> model;
  {
    const Spinner spinner("loading " + stored.name, arguments.quiet);
    model = Model::load_with_params(stored.weights.string(), params.model);
  }
  Context context(*model, params.context);
  const InterruptGuard guard;
  const InterruptTarget target([&] { context.cancel(); });
  const char* before = "";
  if (arguments.as_json)
    write_out(fmt::format("{{\"model\":{},\"embeddings\":[", nlohmann::json(stored.name).dump()));
  while (const auto text = texts.next()) {
    if (InterruptGuard::interrupted()) return fail(ErrorCode::canceled, "interrupted");
    std::vector<float> vector;
    try {
      vector = context.embed(*text, pooling, false);
    } catch (const MullamaError& error) {
      if (error.code() != StatusCode::context_full) throw;
      return fail(ErrorCode::context_full,
                  "{}. Try a larger --ctx-size, or a part of the text: the model was trained for {} tokens",
                  error.what(), model->n_ctx_train());
    }
    engine::cut_embedding(vector, arguments.dimensions);
    MULLAMA_TRY(engine::check_embedding(vector));
    if (!arguments.no_normalize) engine::normalize_embedding(vector);
    write_out(fmt::format("{}[{}]{}", before, fmt::join(vector, ","), arguments.as_json ? "" : "\n"));
    if (arguments.as_json) before = ",";
  }
  if (arguments.as_json) write_out("]}\n");
  return 0;
}

}  // namespace

void add_embed(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("embed", "Print the embedding of a text");
  const auto arguments = std::make_shared<EmbedArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_option("TEXT", arguments->texts, "Texts; without one, or with -, standard input");
  command->add_flag("--lines", arguments->lines, "Each line of standard input is a text");
  command->add_option("--pooling", arguments->pooling,
                      "How the rows of a text's tokens become one: mean (default), first or last");
  command->add_option("--dimensions", arguments->dimensions, "Only the first so many values")
      ->check(CLI::Range(1u, UINT32_MAX));
  command->add_flag("--no-normalize", arguments->no_normalize,
                    "Values as the model computes them, not of length 1");
  command->add_flag("--json", arguments->as_json, "Print one JSON object with all embeddings");
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  add_engine_options(*command, arguments->engine);
  command->footer(
      "Examples:\n"
      "  mullama embed smollm2:135m 'Why is the sky blue?'\n"
      "  mullama embed smollm2:135m --lines --dimensions 256 < sentences.txt\n"
      "  mullama embed smollm2:135m 'one text' 'another' --json\n"
      "\nPrints a JSON array of numbers a text, one a line.");
  command->callback([arguments, &action] { action = [arguments] { return embed(*arguments); }; });
}

}  // namespace mullama::cli
