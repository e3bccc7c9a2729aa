#include "store/details.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "store/disk.hpp"

namespace mullama::store {

namespace {

using nlohmann::json;

struct FileTypeName {
  uint64_t id;
  std::string_view name;
};
// `general.file_type`: the mix of tensor types a file was written with, by its number in ggml's files.
constexpr std::array kFileTypes{
    FileTypeName{0, "F32"},     FileTypeName{1, "F16"},     FileTypeName{2, "Q4_0"},
    FileTypeName{3, "Q4_1"},    FileTypeName{7, "Q8_0"},    FileTypeName{8, "Q5_0"},
    FileTypeName{9, "Q5_1"},    FileTypeName{10, "Q2_K"},   FileTypeName{11, "Q3_K_S"},
    FileTypeName{12, "Q3_K_M"}, FileTypeName{13, "Q3_K_L"}, FileTypeName{14, "Q4_K_S"},
    FileTypeName{15, "Q4_K_M"}, FileTypeName{16, "Q5_K_S"}, FileTypeName{17, "Q5_K_M"},
    FileTypeName{18, "Q6_K"},   FileTypeName{25, "IQ4_NL"}, FileTypeName{30, "IQ4_XS"},
    FileTypeName{32, "BF16"},   FileTypeName{38, "MXFP4"},
};

/// The tensor type that holds most bytes, for a file that does not name its mix.
std::string dominant_type(const gguf::File& file) {
  std::map<gguf::TensorType, uint64_t> bytes;
  for (const gguf::TensorInfo& tensor : file.tensors()) bytes[tensor.type] += tensor.bytes;
  if (bytes.empty()) return "unknown";
  return std::string(
      gguf::name(std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; })->first));
}

Result<std::string> read_layer(const StoredModel& model, const Layer& layer) {
  return read_text(model.folder / "blobs" / layer.digest.file_name(), Manifest::kMaxTextBytes);
}

Result<std::vector<std::pair<std::string, std::string>>> extras_from_json(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> extras;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_array())
    return fail(ErrorCode::corrupt_file, "a model's further keys are not a JSON array");
  for (const json& entry : document) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_string()) {
      return fail(ErrorCode::corrupt_file, "a model's further keys are not pairs of strings");
    }
    extras.emplace_back(entry[0].get<std::string>(), entry[1].get<std::string>());
  }
  return extras;
}

/// What an entry's configuration names as its renderer. One that is missing or damaged names none: nothing
/// else is read from it.
std::string renderer_of(const StoredModel& model) {
  if (!model.manifest->config) return {};
  const auto text = read_layer(model, *model.manifest->config);
  if (!text) return {};
  const json config = json::parse(*text, nullptr, false);
  if (!config.is_object()) return {};
  const auto found = config.find("renderer");
  return found != config.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

}  // namespace

ModelSummary summarize(const gguf::File& file) {
  ModelSummary summary;
  summary.architecture = file.string_or("general.architecture", "unknown").value_or("unknown");
  for (const gguf::TensorInfo& tensor : file.tensors()) summary.parameters += tensor.values();
  summary.quantization = dominant_type(file);
  if (const auto type = file.integer("general.file_type")) {
    const auto known = std::ranges::find(kFileTypes, *type, &FileTypeName::id);
    if (known != kFileTypes.end()) summary.quantization = known->name;
  }
  if (const auto length = file.integer(summary.architecture + ".context_length"))
    summary.context_length = *length;
  if (const auto length = file.integer(summary.architecture + ".embedding_length"))
    summary.embedding_length = *length;
  return summary;
}

std::string format_parameters(uint64_t count) {
  const double value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f}B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f}M", value / 1e6);
  if (count >= 1'000) return fmt::format("{:.2f}K", value / 1e3);
  return fmt::format("{}", count);
}

Result<ModelTexts> read_texts(const StoredModel& model) {
  ModelTexts texts;
  if (!model.manifest) return texts;
  for (const Layer& layer : model.manifest->layers) {
    if (layer.kind == LayerKind::adapter)
      texts.adapters.push_back(model.folder / "blobs" / layer.digest.file_name());
    if (layer.kind == LayerKind::model || layer.kind == LayerKind::adapter ||
        layer.kind == LayerKind::projector || layer.kind == LayerKind::other) {
      continue;
    }
    MULLAMA_ASSIGN(std::string text, read_layer(model, layer));
    if (layer.kind == LayerKind::chat_template) {
      texts.chat_template = std::move(text);
    } else if (layer.kind == LayerKind::system) {
      texts.system = std::move(text);
    } else if (layer.kind == LayerKind::license) {
      texts.licenses.push_back(std::move(text));
    } else if (layer.kind == LayerKind::params) {
      MULLAMA_ASSIGN(texts.parameters, parameters_from_json(text));
    } else if (layer.kind == LayerKind::messages) {
      MULLAMA_ASSIGN(texts.messages, messages_from_json(text));
    } else {
      MULLAMA_ASSIGN(texts.extras, extras_from_json(text));
    }
  }
  texts.renderer = renderer_of(model);
  if (!texts.renderer.empty()) texts.chat_template.reset();
  return texts;
}

std::string to_modelfile(const StoredModel& model, const ModelTexts& texts) {
  std::string out = fmt::format("FROM {}\n", model.weights.string());
  for (const auto& adapter : texts.adapters) out += fmt::format("ADAPTER {}\n", adapter.string());
  if (texts.chat_template) out += fmt::format("TEMPLATE \"\"\"{}\"\"\"\n", *texts.chat_template);
  if (texts.system) out += fmt::format("SYSTEM \"\"\"{}\"\"\"\n", *texts.system);
  for (const auto& [name, value] : texts.parameters) {
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      for (const std::string& text : *list)
        out += fmt::format("PARAMETER {} {}\n", name, quote_for_modelfile(text));
    } else {
      out += fmt::format("PARAMETER {} {}\n", name, to_modelfile_text(value));
    }
  }
  for (const Message& message : texts.messages) {
    out += fmt::format("MESSAGE {} {}\n", message.role, quote_for_modelfile(message.content));
  }
  for (const auto& [key, value] : texts.extras)
    out += fmt::format("{} {}\n", upper(key), quote_for_modelfile(value));
  for (const std::string& license : texts.licenses) out += fmt::format("LICENSE \"\"\"{}\"\"\"\n", license);
  return out;
}

std::string config_json(const ModelSummary& summary, const Manifest& manifest) {
  json document = {{"model_format", "gguf"},
                   {"model_family", summary.architecture},
                   {"model_families", {summary.architecture}},
                   {"model_type", format_parameters(summary.parameters)},
                   {"file_type", summary.quantization},
                   {"architecture", "amd64"},
                   {"os", "linux"},
                   {"rootfs", {{"type", "layers"}, {"diff_ids", json::array()}}}};
  for (const Layer& layer : manifest.layers) document["rootfs"]["diff_ids"].push_back(layer.digest.text());
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace mullama::store
