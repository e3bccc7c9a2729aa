#include "cli/show.hpp"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/format.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

struct ShowArguments {
  std::string model;
  bool modelfile = false;
  bool parameters = false;
  bool chat_template = false;
  bool system = false;
  bool license = false;
  bool verbose = false;
  bool as_json = false;
};

std::string indented(std::string_view text) {
  std::string out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += "    " + std::string(text.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out;
}

std::string section(std::string_view title, const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return {};
  return fmt::format("  {}\n{}\n", title, indented(table(rows)));
}

std::string first_lines(const std::string& text, size_t lines) {
  size_t end = 0;
  for (size_t i = 0; i < lines && end != std::string::npos; ++i)
    end = text.find('\n', end == 0 ? 0 : end + 1);
  return end == std::string::npos ? text : text.substr(0, end) + "\n...";
}

std::string shape_text(const gguf::TensorInfo& tensor) {
  std::string out;
  for (uint32_t i = 0; i < tensor.dimensions; ++i) {
    if (i > 0) out += " x ";
    out += fmt::format("{}", tensor.shape[i]);
  }
  return out;
}

json metadata_value(const gguf::Value& value) {
  switch (value.type()) {
    case gguf::ValueType::string:
      return value.text();
    case gguf::ValueType::array:
      return nullptr;  // Ollama leaves long arrays out in the same way
    default:
      return json::parse(value.to_display(), nullptr, false);
  }
}

void print_json(const ModelDescription& shown) {
  json info = json::object();
  for (const auto& [key, value] : shown.file.metadata()) info[std::string(key)] = metadata_value(value);
  info["general.parameter_count"] = shown.summary.parameters;
  const json document = {
      {"name", shown.model.name},
      {"modelfile", store::to_modelfile(shown.model, shown.texts)},
      {"parameters", shown.parameters()},
      {"template", shown.chat_template()},
      {"system", shown.texts.system.value_or("")},
      {"license", shown.license()},
      {"details",
       {{"format", "gguf"},
        {"family", shown.summary.architecture},
        {"families", {shown.summary.architecture}},
        {"parameter_size", store::format_parameters(shown.summary.parameters)},
        {"quantization_level", shown.summary.quantization}}},
      {"model_info", info},
      {"capabilities", shown.answering.capabilities},
      {"path", shown.model.weights.string()},
      {"size", shown.file.file_bytes()},
  };
  write_out(document.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Result<int> show(const ShowArguments& arguments) {
  const int chosen = arguments.modelfile + arguments.parameters + arguments.chat_template + arguments.system +
                     arguments.license;
  if (chosen > 1) {
    return fail(
        ErrorCode::invalid_argument,
        "only one of --modelfile, --parameters, --template, --system and --license can be shown at once");
  }
  MULLAMA_ASSIGN(store::StoredModel model, open_store().resolve(arguments.model));
  MULLAMA_ASSIGN(const ModelDescription shown, ModelDescription::read(std::move(model)));
  if (!shown.answering.warning.empty()) write_note("Warning: " + shown.answering.warning + "\n");
  if (arguments.as_json) {
    print_json(shown);
    return 0;
  }
  std::string text;
  if (arguments.modelfile) {
    text = store::to_modelfile(shown.model, shown.texts);
  } else if (arguments.parameters) {
    text = shown.parameters();
  } else if (arguments.chat_template) {
    text = shown.chat_template();
  } else if (arguments.system) {
    text = shown.texts.system.value_or("");
  } else if (arguments.license) {
    text = shown.license();
  } else {
    text = shown.sections(arguments.verbose);
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  write_out(is_terminal(stdout) ? printable(text) : text);
  return 0;
}

}  // namespace

Result<ModelDescription> ModelDescription::read(store::StoredModel model) {
  MULLAMA_ASSIGN(store::ModelTexts texts, store::read_texts(model));
  MULLAMA_ASSIGN(gguf::File file, gguf::File::open(model.weights));
  store::ModelSummary summary = store::summarize(file);
  auto answering = store::describe_answering(model, texts, file);
  return ModelDescription{std::move(model), std::move(texts), std::move(file), std::move(summary),
                          std::move(answering)};
}

std::string ModelDescription::chat_template() const {
  if (texts.chat_template) return *texts.chat_template;
  return std::string(file.string_or("tokenizer.chat_template", "").value_or(""));
}

std::string ModelDescription::parameters() const {
  std::string out;
  for (const auto& [name, value] : texts.parameters)
    out += fmt::format("{} {}\n", name, store::to_modelfile_text(value));
  return out;
}

std::string ModelDescription::license() const {
  std::string out;
  for (const std::string& text : texts.licenses) out += text;
  return out;
}

std::string ModelDescription::sections(bool verbose) const {
  std::vector<std::vector<std::string>> rows{{"architecture", summary.architecture},
                                             {"parameters", store::format_parameters(summary.parameters)}};
  if (summary.context_length) rows.push_back({"context length", fmt::format("{}", *summary.context_length)});
  if (summary.embedding_length)
    rows.push_back({"embedding length", fmt::format("{}", *summary.embedding_length)});
  rows.push_back({"quantization", summary.quantization});
  rows.push_back({"size", short_size(file.file_bytes())});
  rows.push_back({"file", model.weights.string()});
  std::string out = section("Model", rows);
  rows.clear();
  for (const std::string& capability : answering.capabilities) rows.push_back({capability});
  out += section("Capabilities", rows);
  rows.clear();
  for (const auto& [name, value] : texts.parameters) rows.push_back({name, store::to_modelfile_text(value)});
  out += section("Parameters", rows);
  if (texts.system) out += section("System", {{*texts.system}});
  if (!texts.licenses.empty()) out += section("License", {{first_lines(texts.licenses.front(), 2)}});
  if (!verbose) return out;
  rows.clear();
  for (const auto& [key, value] : file.metadata()) rows.push_back({std::string(key), value.to_display(4)});
  out += section("Metadata", rows);
  rows.clear();
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    rows.push_back({std::string(tensor.name), std::string(gguf::name(tensor.type)), shape_text(tensor)});
  }
  return out + section("Tensors", rows);
}

void add_show(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("show", "Describe a model");
  const auto arguments = std::make_shared<ShowArguments>();
  command->add_option("MODEL", arguments->model, "A name or a .gguf file")->required();
  command->add_flag("--modelfile", arguments->modelfile, "Print a Modelfile that makes this model");
  command->add_flag("--parameters", arguments->parameters, "Print its default parameters");
  command->add_flag("--template", arguments->chat_template, "Print its chat template");
  command->add_flag("--system", arguments->system, "Print its system message");
  command->add_flag("--license", arguments->license, "Print its license");
  command->add_flag("-v,--verbose", arguments->verbose, "Metadata and tensors too");
  command->add_flag("--json", arguments->as_json, "Print JSON");
  command->footer(
      "Examples:\n"
      "  mullama show smollm2:135m\n"
      "  mullama show ./model.gguf -v\n"
      "  mullama show smollm2:135m --modelfile > Modelfile");
  command->callback([arguments, &action] { action = [arguments] { return show(*arguments); }; });
}

}  // namespace mullama::cli
