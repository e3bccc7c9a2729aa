// Reads bytes as a GGUF file, then everything that a caller would read of what was accepted.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gguf/file.hpp"
#include "quant/file_type.hpp"
#include "quant/format.hpp"
#include "quant/tensor_mix.hpp"

using namespace mullama;

namespace {

// Keeps the optimizer from dropping reads whose result nobody needs.
volatile uint64_t sink = 0;

void read_value(const gguf::File& file, const gguf::File::Entry& entry) {
  sink = sink + entry.value.to_display().size();
  if (file.find(entry.key) == nullptr) std::abort();
  const auto integer = file.integer_or(entry.key, 1);
  const auto number = file.number_or(entry.key, 1);
  const auto text = file.string_or(entry.key, "");
  sink = sink + static_cast<uint64_t>(integer.has_value()) + static_cast<uint64_t>(number.has_value()) +
         static_cast<uint64_t>(text.has_value()) + static_cast<uint64_t>(file.boolean(entry.key).has_value());
  if (const auto array = file.array(entry.key, gguf::ValueType::string)) {
    array->for_each_string([](uint64_t, std::string_view item) {
      for (const char c : item) sink = sink + static_cast<unsigned char>(c);
    });
  }
  if (const auto array = file.number_array(entry.key)) {
    for (uint64_t i = 0; i < array->count(); ++i)
      sink = sink + static_cast<uint64_t>(array->integer_element(i));
  }
}

void read_tensor(const gguf::TensorInfo& tensor) {
  std::vector<float> values(tensor.values());
  quant::dequantize_row(tensor.type, tensor.data, values.data(), values.size());
  const quant::Format& format = quant::format(tensor.type);
  if (format.quantize == nullptr) return;
  std::vector<std::byte> blocks(tensor.bytes);
  format.quantize(values.data(), nullptr, blocks.data(), values.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = gguf::File::parse({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  if (!file) {
    if (file.error().message.empty() || file.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const gguf::File::Entry& entry : file->metadata()) read_value(*file, entry);
  for (const gguf::TensorInfo& tensor : file->tensors()) {
    if (tensor.offset > size || tensor.bytes > size - tensor.offset) std::abort();
    if (file->tensor(tensor.name) == nullptr) std::abort();
    read_tensor(tensor);
  }
  for (const quant::FileTypeInfo& type : quant::file_types()) {
    const auto choices = quant::choose_types(*file, type.type);
    if (choices && choices->size() != file->tensors().size()) std::abort();
  }
  return 0;
}
