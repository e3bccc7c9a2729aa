#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/input.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"
#include "gguf/file.hpp"
#include "store/answering.hpp"
#include "store/details.hpp"
#include "text/jinja/jinja.hpp"

namespace mullama::cli {

namespace {

using nlohmann::ordered_json;

struct RenderArguments {
  std::string source;
  std::string input = "-";
};

struct TemplateSource {
  std::string text;
  std::string bos;
  std::string eos;
};

/// The text of a special token that the file names by id; empty if it names none.
Result<std::string> token_text(const gguf::File& file, std::string_view key) {
  const auto id = file.integer(key);
  if (!id) return std::string();
  MULLAMA_ASSIGN(const gguf::Value tokens, file.array("tokenizer.ggml.tokens", gguf::ValueType::string));
  std::string text;
  tokens.for_each_string([&](uint64_t i, std::string_view token) {
    if (i == *id) text = token;
  });
  return text;
}

Result<TemplateSource> read_template(const std::string& source) {
  if (source.ends_with(".jinja")) {
    MULLAMA_ASSIGN(std::string text, read_input(source));
    return TemplateSource{std::move(text), "", ""};
  }
  MULLAMA_ASSIGN(const store::StoredModel model, find_model(source, false));
  MULLAMA_ASSIGN(const store::ModelTexts texts, store::read_texts(model));
  MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(model.weights));
  TemplateSource out;
  MULLAMA_ASSIGN(const auto answering, store::answering_template(model, texts, file));
  if (!answering.warning.empty()) write_note("Warning: " + answering.warning + "\n");
  out.text = answering.chat.source();
  if (out.text.empty()) {
    return fail(ErrorCode::unsupported, "'{}' has no chat template. Give one as a .jinja file", source);
  }
  MULLAMA_ASSIGN(out.bos, token_text(file, "tokenizer.ggml.bos_token_id"));
  MULLAMA_ASSIGN(out.eos, token_text(file, "tokenizer.ggml.eos_token_id"));
  return out;
}

Result<int> render(const RenderArguments& arguments) {
  MULLAMA_ASSIGN(const TemplateSource source, read_template(arguments.source));
  MULLAMA_ASSIGN(const std::string input, read_input(arguments.input));
  ordered_json variables = ordered_json::parse(input, nullptr, false);
  if (!variables.is_object()) {
    return fail(ErrorCode::invalid_argument,
                "the input is not a JSON object with 'messages' and other variables");
  }
  if (!source.bos.empty() && !variables.contains("bos_token")) variables["bos_token"] = source.bos;
  if (!source.eos.empty() && !variables.contains("eos_token")) variables["eos_token"] = source.eos;
  MULLAMA_ASSIGN(const jinja::Template parsed, jinja::Template::parse(source.text));
  MULLAMA_ASSIGN(const std::string text, parsed.render(variables));
  write_out(text);
  if (is_terminal(stdout) && !text.ends_with('\n')) write_out("\n");
  return 0;
}

}  // namespace

void add_render(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("render", "Turn messages into a prompt with a chat template");
  const auto arguments = std::make_shared<RenderArguments>();
  command->add_option("SOURCE", arguments->source, "A model, for its own template, or a .jinja file")
      ->required();
  command
      ->add_option("--input", arguments->input,
                   "JSON object of the template's variables; - is standard input")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  mullama render smollm2:135m --input chat.json\n"
      "  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}' |\n"
      "    mullama render template.jinja");
  command->callback([arguments, &action] { action = [arguments] { return render(*arguments); }; });
}

}  // namespace mullama::cli
