#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "engine/known_shapes.hpp"
#include "gguf/file.hpp"
#include "gguf/writer.hpp"
#include "made_vocabulary.hpp"
#include "made_weights.hpp"
#include "quant/file_type.hpp"

namespace mullama::bench {
namespace {

struct Arguments {
  std::string shape;
  std::string type = "Q4_K_M";
  std::string out;
  uint32_t layers = 0;
  uint64_t seed = 1;
  bool force = false;
  bool quiet = false;
  bool list = false;
};

/// Left free beside the new file, so that a machine does not stand still for want of disk space.
constexpr uint64_t kSpareDisk = uint64_t{1} << 30;

Status check_disk(const std::filesystem::path& out, uint64_t needed) {
  std::error_code error;
  const auto folder = std::filesystem::absolute(out).parent_path();
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error)
    return fail(ErrorCode::io, "cannot ask how much space '{}' has: {}", folder.string(), error.message());
  if (space.available < needed + kSpareDisk) {
    return fail(ErrorCode::io,
                "the file takes {:.2f} GB and 1 GiB must stay free, but '{}' has {:.2f} GB left; use fewer "
                "--layers, a smaller --type or another disk",
                static_cast<double>(needed) / 1e9, folder.string(),
                static_cast<double>(space.available) / 1e9);
  }
  return {};
}

void set_tokenizer(const engine::KnownShape& shape, gguf::Writer& writer) {
  const bool byte_level = shape.merges > 0;
  const MadeVocabulary made =
      byte_level ? make_byte_level(shape.vocabulary, shape.merges) : make_sentence_piece(shape.vocabulary);
  const std::vector<std::string_view> texts(made.texts.begin(), made.texts.end());
  writer.set("tokenizer.ggml.model", byte_level ? "gpt2" : "llama");
  writer.set("tokenizer.ggml.tokens", std::span<const std::string_view>(texts));
  writer.set("tokenizer.ggml.token_type", std::span<const int32_t>(made.types));
  if (byte_level) {
    const std::vector<std::string_view> merges(made.merges.begin(), made.merges.end());
    writer.set("tokenizer.ggml.pre", shape.architecture.starts_with("qwen") ? "qwen2" : "llama-bpe");
    writer.set("tokenizer.ggml.merges", std::span<const std::string_view>(merges));
  } else {
    writer.set("tokenizer.ggml.scores", std::span<const float>(made.scores));
    writer.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
  }
  writer.set("tokenizer.ggml.bos_token_id", made.begin);
  writer.set("tokenizer.ggml.eos_token_id", made.end);
}

Status make(const Arguments& arguments) {
  MULLAMA_ASSIGN(const engine::KnownShape* known, engine::find_known_shape(arguments.shape));
  const auto type = quant::file_type_from_name(arguments.type);
  if (!type) return fail(ErrorCode::invalid_argument, "there is no file type '{}'", arguments.type);
  engine::KnownShape shape = *known;
  if (arguments.layers > shape.layers) {
    return fail(ErrorCode::invalid_argument, "{} has only {} layers", shape.name, shape.layers);
  }
  if (arguments.layers > 0) shape.layers = arguments.layers;
  if (!arguments.force && std::filesystem::exists(arguments.out)) {
    return fail(ErrorCode::invalid_argument, "'{}' exists; give --force to replace it", arguments.out);
  }
  MULLAMA_ASSIGN(const gguf::HeaderBuilder::Header header, engine::build_header(shape, *type));
  MULLAMA_ASSIGN(const gguf::File file,
                 gguf::File::parse_header(header.bytes, header.file_bytes, std::string(shape.name)));
  MULLAMA_TRY(check_disk(arguments.out, header.file_bytes));

  MULLAMA_ASSIGN(gguf::Writer writer, gguf::Writer::create(arguments.out));
  for (const gguf::File::Entry& entry : file.metadata()) {
    if (!entry.key.starts_with("tokenizer.")) writer.set(entry.key, entry.value);
  }
  writer.set("general.file_type", static_cast<uint32_t>(*type));
  writer.set("general.description",
             "random weights in the shape of a real model, to measure speed and memory");
  set_tokenizer(shape, writer);
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    MULLAMA_TRY(
        writer.add_tensor(tensor.name, tensor.type, std::span(tensor.shape).first(tensor.dimensions)));
  }
  MULLAMA_TRY(writer.begin());
  MadeWeights weights(arguments.seed);
  const bool redraw = ::isatty(STDERR_FILENO) == 1;
  size_t done = 0;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!arguments.quiet && redraw && done % 16 == 0) {
      std::fprintf(stderr, "\rwriting %s: tensor %zu of %zu ", arguments.out.c_str(), done + 1,
                   file.tensors().size());
    }
    MULLAMA_TRY(weights.write(tensor, writer));
    ++done;
  }
  MULLAMA_TRY(writer.finish());
  if (!arguments.quiet) {
    std::fprintf(stderr, "%s%s: %s %s, %u layers, %.2f GB          \n", redraw ? "\r" : "",
                 arguments.out.c_str(), std::string(shape.name).c_str(), arguments.type.c_str(), shape.layers,
                 static_cast<double>(writer.file_bytes()) / 1e9);
  }
  return {};
}

int run(int count, char** texts) {
  Arguments arguments;
  CLI::App app(
      "Writes a model file with random weights in the shape of a real model, to measure speed and memory");
  app.add_option("--shape", arguments.shape, "Which model's shape; --list shows them");
  app.add_option("--type", arguments.type, "File type: any that `mullama quantize` writes")
      ->capture_default_str();
  app.add_option("--layers", arguments.layers, "Keep only so many layers");
  app.add_option("--seed", arguments.seed, "Of the random weights")->capture_default_str();
  app.add_option("--out", arguments.out, "The file to write");
  app.add_flag("--force", arguments.force, "Replace a file that exists");
  app.add_flag("--quiet", arguments.quiet, "No progress");
  app.add_flag("--list", arguments.list, "Print the shapes");
  CLI11_PARSE(app, count, texts);
  if (arguments.list) {
    for (const engine::KnownShape& shape : engine::known_shapes()) {
      std::printf("%s\n", std::string(shape.name).c_str());
    }
    return 0;
  }
  if (arguments.shape.empty() || arguments.out.empty()) {
    std::fprintf(stderr, "Error: give --shape and --out; --help shows more\n");
    return 4;
  }
  if (const Status status = make(arguments); !status) {
    std::fprintf(stderr, "\nError: %s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace mullama::bench

int main(int count, char** texts) {
  return mullama::bench::run(count, texts);
}
