#include "model/gguf_builder.hpp"

#include <cstring>
#include <gtest/gtest.h>

namespace mullama::model::test {

namespace {

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& bytes, const T& value) {
  const auto* data = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), data, data + sizeof(value));
}

void put_string(Bytes& bytes, const std::string& text) {
  put(bytes, uint64_t{text.size()});
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  bytes.insert(bytes.end(), data, data + text.size());
}

void put_type(Bytes& bytes, gguf::ValueType type) {
  put(bytes, static_cast<uint32_t>(type));
}

void put_value(Bytes& bytes, uint32_t value) {
  put_type(bytes, gguf::ValueType::u32);
  put(bytes, value);
}
void put_value(Bytes& bytes, int32_t value) {
  put_type(bytes, gguf::ValueType::i32);
  put(bytes, value);
}
void put_value(Bytes& bytes, float value) {
  put_type(bytes, gguf::ValueType::f32);
  put(bytes, value);
}
void put_value(Bytes& bytes, bool value) {
  put_type(bytes, gguf::ValueType::boolean);
  put(bytes, static_cast<uint8_t>(value));
}
void put_value(Bytes& bytes, const std::string& value) {
  put_type(bytes, gguf::ValueType::string);
  put_string(bytes, value);
}
void put_value(Bytes& bytes, const GgufBuilder::Array& array) {
  put_type(bytes, gguf::ValueType::array);
  put_type(bytes, array.element);
  if (array.element == gguf::ValueType::string) {
    put(bytes, uint64_t{array.strings.size()});
    for (const std::string& text : array.strings) put_string(bytes, text);
    return;
  }
  put(bytes, uint64_t{array.numbers.size()});
  for (const double number : array.numbers) {
    switch (array.element) {
      case gguf::ValueType::boolean:
        put(bytes, static_cast<uint8_t>(number != 0));
        break;
      case gguf::ValueType::f32:
        put(bytes, static_cast<float>(number));
        break;
      default:
        put(bytes, static_cast<int32_t>(number));
        break;
    }
  }
}

void pad(Bytes& bytes, size_t alignment) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
}

}  // namespace

GgufBuilder GgufBuilder::llama() {
  GgufBuilder builder;
  builder.metadata = {{"general.architecture", std::string("llama")},
                      {"llama.block_count", 2u},
                      {"llama.context_length", 512u},
                      {"llama.embedding_length", 64u},
                      {"llama.feed_forward_length", 96u},
                      {"llama.attention.head_count", 4u},
                      {"llama.attention.head_count_kv", 2u},
                      {"llama.attention.layer_norm_rms_epsilon", 1e-5f},
                      {"llama.rope.dimension_count", 16u},
                      {"llama.rope.freq_base", 10000.0f}};
  builder.tensors = {{"token_embd.weight", {{64, 96}}}, {"output_norm.weight", {{64}}}};
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    builder.tensors[layer + "attn_norm.weight"] = {{64}};
    builder.tensors[layer + "attn_q.weight"] = {{64, 64}};
    builder.tensors[layer + "attn_k.weight"] = {{64, 32}};
    builder.tensors[layer + "attn_v.weight"] = {{64, 32}};
    builder.tensors[layer + "attn_output.weight"] = {{64, 64}};
    builder.tensors[layer + "ffn_norm.weight"] = {{64}};
    builder.tensors[layer + "ffn_gate.weight"] = {{64, 96}};
    builder.tensors[layer + "ffn_up.weight"] = {{64, 96}};
    builder.tensors[layer + "ffn_down.weight"] = {{96, 64}};
  }
  return builder;
}

std::vector<std::byte> GgufBuilder::build() const {
  Bytes bytes;
  put(bytes, uint32_t{0x46554747});
  put(bytes, uint32_t{3});
  put(bytes, uint64_t{tensors.size()});
  put(bytes, uint64_t{metadata.size() + 1});
  put_string(bytes, "general.alignment");
  put_value(bytes, alignment);
  for (const auto& [key, value] : metadata) {
    put_string(bytes, key);
    std::visit([&](const auto& v) { put_value(bytes, v); }, value);
  }
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    put_string(bytes, name);
    put(bytes, static_cast<uint32_t>(tensor.shape.size()));
    uint64_t values = 1;
    for (const uint64_t size : tensor.shape) {
      put(bytes, size);
      values *= size;
    }
    put(bytes, static_cast<uint32_t>(tensor.type));
    put(bytes, offset);
    const auto size = gguf::row_bytes(tensor.type, values);
    offset += (size.value_or(0) + alignment - 1) / alignment * alignment;
  }
  pad(bytes, alignment);
  bytes.resize(bytes.size() + offset);
  return bytes;
}

BuiltFile parse(const GgufBuilder& builder) {
  BuiltFile built;
  built.bytes = std::make_unique<std::vector<std::byte>>(builder.build());
  auto file = gguf::File::parse(*built.bytes, "built");
  EXPECT_TRUE(file) << file.error().message;
  if (file) built.file = std::move(*file);
  return built;
}

}  // namespace mullama::model::test
