// Headers that lie about a model. Each test is a way in which other runtimes have crashed or read beyond
// their buffers: zero heads, a context of 0 or 2^31, a vocabulary smaller than a token id, zero-sized
// tensors, NaN.

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <string>

#include "model/definition.hpp"
#include "model/gguf_builder.hpp"

namespace mullama::model::test {

namespace {

/// The error that a spoiled header gets from the reader or from define().
Error error_of(const GgufBuilder& builder) {
  const auto bytes = builder.build();
  const auto file = gguf::File::parse(bytes, "hostile");
  if (!file) return file.error();
  const auto definition = define(*file);
  if (definition) return {ErrorCode::internal, "accepted"};
  return definition.error();
}

void expect_refused(const GgufBuilder& builder, const std::string& name) {
  const Error error = error_of(builder);
  EXPECT_NE(error.message.find(name), std::string::npos) << error.message;
  EXPECT_TRUE(error.code == ErrorCode::corrupt_file || error.code == ErrorCode::unsupported) << error.message;
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
}

void expect_key_refused(const std::string& key, GgufBuilder::Value value) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama." + key] = std::move(value);
  expect_refused(builder, "llama." + key);
}

GgufBuilder::Array integers(std::vector<double> numbers) {
  return {gguf::ValueType::i32, std::move(numbers), {}};
}

GgufBuilder mixture() {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.expert_count"] = 4u;
  builder.metadata["llama.expert_used_count"] = 2u;
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    builder.tensors[layer + "ffn_gate_inp.weight"] = {{64, 4}};
    builder.tensors[layer + "ffn_gate_exps.weight"] = {{64, 96, 4}};
    builder.tensors[layer + "ffn_up_exps.weight"] = {{64, 96, 4}};
    builder.tensors[layer + "ffn_down_exps.weight"] = {{96, 64, 4}};
  }
  return builder;
}

}  // namespace

TEST(HostileHeader, TheBuilderItselfIsAccepted) {
  EXPECT_EQ(error_of(GgufBuilder::llama()).message, "accepted");
  EXPECT_EQ(error_of(mixture()).message, "accepted");
}

TEST(HostileHeader, ZeroHeads) {
  expect_key_refused("attention.head_count", 0u);
  expect_key_refused("attention.head_count_kv", 0u);
  expect_key_refused("attention.head_count", integers({4, 0}));
  expect_key_refused("attention.head_count_kv", integers({2, 0}));
}

TEST(HostileHeader, HeadsThatDoNotDivide) {
  expect_key_refused("attention.head_count_kv", 3u);
  expect_key_refused("attention.head_count_kv", 8u);
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.attention.head_count"] = 3u;  // 64 is no multiple of 3, and no key_length is given
  builder.metadata["llama.attention.head_count_kv"] = 1u;
  expect_refused(builder, "llama.attention.key_length");
}

TEST(HostileHeader, AbsurdSizes) {
  for (const char* key : {"block_count", "embedding_length", "attention.head_count", "feed_forward_length",
                          "attention.key_length", "attention.value_length", "expert_count"}) {
    expect_key_refused(key, std::numeric_limits<uint32_t>::max());
  }
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length", "attention.key_length"}) {
    expect_key_refused(key, 0u);
    expect_key_refused(key, int32_t{-1});
  }
}

TEST(HostileHeader, ContextZeroOrTwoToThe31) {
  expect_key_refused("context_length", 0u);
  expect_key_refused("context_length", uint32_t{1} << 31);
  expect_key_refused("context_length", std::numeric_limits<uint32_t>::max());
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.context_length"] = (uint32_t{1} << 31) - 1;
  EXPECT_EQ(error_of(builder).message, "accepted");
}

TEST(HostileHeader, VocabularySmallerThanATokenId) {
  expect_key_refused("vocab_size", 97u);
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["tokenizer.ggml.tokens"] =
      GgufBuilder::Array{gguf::ValueType::string, {}, std::vector<std::string>(97, "a")};
  expect_refused(builder, "tokenizer.ggml.tokens");
  builder.metadata["tokenizer.ggml.tokens"] =
      GgufBuilder::Array{gguf::ValueType::string, {}, std::vector<std::string>(95, "a")};
  EXPECT_EQ(error_of(builder).message, "accepted");
}

TEST(HostileHeader, OutputOfAnotherVocabulary) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.tensors["output.weight"] = {{64, 97}};
  expect_refused(builder, "output.weight");
}

TEST(HostileHeader, ZeroSizedTensors) {
  for (const auto& [name, tensor] : GgufBuilder::llama().tensors) {
    GgufBuilder builder = GgufBuilder::llama();
    builder.tensors[name].shape.back() = 0;
    expect_refused(builder, name);
  }
}

TEST(HostileHeader, TensorsOfAnotherShape) {
  for (const auto& [name, tensor] : GgufBuilder::llama().tensors) {
    for (const size_t dimension : {size_t{0}, tensor.shape.size() - 1}) {
      GgufBuilder builder = GgufBuilder::llama();
      builder.tensors[name].shape[dimension] += 32;
      // Without it, the vocabulary is larger, which is no error.
      if (name == "token_embd.weight" && dimension == 1) continue;
      expect_refused(builder, name);
    }
    GgufBuilder builder = GgufBuilder::llama();
    builder.tensors[name].shape.resize(4, 1);
    builder.tensors[name].shape[3] = 2;
    expect_refused(builder, name);
  }
}

TEST(HostileHeader, FewerLayersThanTensors) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.block_count"] = 1u;
  expect_refused(builder, "'blk.1.attn_k.weight', but its metadata counts 1 layers (block_count)");
  // Which is no layer's number stays unused, as other tensors do.
  builder = GgufBuilder::llama();
  builder.tensors["blk.x.weight"] = {{64, 64}};
  EXPECT_EQ(error_of(builder).message, "accepted");
}

TEST(HostileHeader, MissingTensors) {
  for (const auto& [name, tensor] : GgufBuilder::llama().tensors) {
    GgufBuilder builder = GgufBuilder::llama();
    builder.tensors.erase(name);
    // Without ffn_gate, ffn_up is taken for a fused tensor, whose shape is wrong.
    const bool gate = name.ends_with("ffn_gate.weight");
    expect_refused(builder, gate ? name.substr(0, 6) + "ffn_up.weight" : name);
  }
}

TEST(HostileHeader, MissingKeys) {
  for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length",
                          "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    GgufBuilder builder = GgufBuilder::llama();
    builder.metadata.erase(std::string("llama.") + key);
    expect_refused(builder, std::string("llama.") + key);
  }
}

TEST(HostileHeader, KeysOfAnotherType) {
  for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length",
                          "attention.head_count", "attention.head_count_kv", "rope.dimension_count",
                          "attention.layer_norm_rms_epsilon", "rope.freq_base", "attention.sliding_window"}) {
    expect_key_refused(key, std::string("4"));
    expect_key_refused(key, true);
    expect_key_refused(key, GgufBuilder::Array{gguf::ValueType::string, {}, {"4", "4"}});
  }
}

TEST(HostileHeader, NaN) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {kNaN, kInfinity, -kInfinity, -1.0f, 1e30f}) {
    for (const char* key :
         {"attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.freq_base_swa", "rope.scaling.factor",
          "rope.scaling.attn_factor", "rope.scaling.yarn_beta_fast", "attn_logit_softcapping",
          "final_logit_softcapping", "attention.scale", "embedding_scale", "residual_scale", "logit_scale"}) {
      expect_key_refused(key, value);
    }
  }
  expect_key_refused("attention.layer_norm_rms_epsilon", 0.0f);
  expect_key_refused("rope.freq_base", 0.0f);
  expect_key_refused("rope.freq_base", 1.0f);  // its logarithm is zero
}

TEST(HostileHeader, RopeDimensions) {
  expect_key_refused("rope.dimension_count", 0u);
  expect_key_refused("rope.dimension_count", 15u);
  expect_key_refused("rope.dimension_count", 18u);  // a head has 16
  expect_key_refused("rope.scaling.type", std::string("spiral"));
  expect_key_refused("rope.scaling.original_context_length", 0u);
}

TEST(HostileHeader, Experts) {
  for (const uint32_t used : {0u, 5u, std::numeric_limits<uint32_t>::max()}) {
    GgufBuilder builder = mixture();
    builder.metadata["llama.expert_used_count"] = used;
    expect_refused(builder, "llama.expert_used_count");
  }
  GgufBuilder many = mixture();
  many.metadata["llama.expert_count"] = 8u;
  expect_refused(many, "blk.0.ffn_gate_inp.weight");
  GgufBuilder stack = mixture();
  stack.tensors["blk.1.ffn_down_exps.weight"].shape[2] = 3;
  expect_refused(stack, "blk.1.ffn_down_exps.weight");
}

TEST(HostileHeader, ExpertsInTensorsOfTheirOwnOrFused) {
  GgufBuilder early = mixture();
  GgufBuilder fused = mixture();
  for (const char* layer : {"blk.0", "blk.1"}) {
    for (const char* role : {"gate", "up", "down"}) {
      const std::string name = fmt::format("{}.ffn_{}", layer, role);
      const auto shape = early.tensors.at(name + "_exps.weight").shape;
      for (uint64_t i = 0; i < shape[2]; ++i)
        early.tensors[fmt::format("{}.{}.weight", name, i)].shape = {shape[0], shape[1]};
      early.tensors.erase(name + "_exps.weight");
    }
    const std::string ffn = std::string(layer) + ".ffn_";
    auto shape = fused.tensors.at(ffn + "gate_exps.weight").shape;
    shape[1] *= 2;
    fused.tensors[ffn + "gate_up_exps.weight"].shape = shape;
    fused.tensors.erase(ffn + "gate_exps.weight");
    fused.tensors.erase(ffn + "up_exps.weight");
  }
  expect_refused(early, "'blk.0.ffn_gate.0.weight': each expert has tensors of its own");
  expect_refused(fused, "'blk.0.ffn_gate_up_exps.weight': the experts' gate and up matrices are fused");
}

TEST(HostileHeader, RoutersOfAnotherKind) {
  for (const char* key : {"expert_gating_func", "expert_group_count", "expert_shared_count",
                          "expert_shared_feed_forward_length"}) {
    GgufBuilder builder = mixture();
    builder.metadata[std::string("llama.") + key] = 2u;
    expect_refused(builder, std::string("llama.") + key);
  }
  expect_key_refused("attention.causal", false);
}

TEST(HostileHeader, ArraysOfAnotherLength) {
  expect_key_refused("attention.head_count_kv", integers({2}));
  expect_key_refused("attention.head_count_kv", integers({2, 2, 2}));
  expect_key_refused("feed_forward_length", integers({}));
  expect_key_refused("feed_forward_length", GgufBuilder::Array{gguf::ValueType::f32, {96, NAN}, {}});
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.attention.sliding_window"] = 64u;
  builder.metadata["llama.attention.sliding_window_pattern"] = integers({1, 0, 1});
  expect_refused(builder, "llama.attention.sliding_window_pattern");
}

TEST(HostileHeader, QuantizedNorms) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.tensors["blk.0.attn_norm.weight"].type = gguf::TensorType::Q8_0;
  expect_refused(builder, "blk.0.attn_norm.weight");
}

TEST(HostileHeader, FloatsOffTheirAlignment) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.alignment = 1;
  builder.metadata["llama.padding"] =
      std::string("abc");  // moves the data to an odd offset, or not: try four
  bool refused = false;
  for (int i = 0; i < 4; ++i) {
    builder.metadata["llama.padding"] = std::string(static_cast<size_t>(i), 'a');
    refused |= error_of(builder).message.find("not a multiple of 4") != std::string::npos;
  }
  EXPECT_TRUE(refused);
}

TEST(HostileHeader, RopeFactorsThatAreNotPositive) {
  for (const float bad :
       {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    GgufBuilder builder = GgufBuilder::llama();
    builder.tensors["rope_freqs.weight"] = {{8}};
    BuiltFile built = parse(builder);
    const gguf::TensorInfo* tensor = built.file.tensor("rope_freqs.weight");
    for (size_t i = 0; i < 8; ++i) {
      const float value = i == 5 ? bad : 1.0f;
      std::memcpy(built.bytes->data() + tensor->offset + i * sizeof(value), &value, sizeof(value));
    }
    auto definition = define(built.file);
    ASSERT_TRUE(definition) << definition.error().message;
    const Status status = load_ropes(*definition);
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("rope_freqs.weight"), std::string::npos) << status.error().message;
  }
}

TEST(HostileHeader, VocabularyWithoutWeights) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.tensors.clear();
  expect_refused(builder, "no weights");
}

TEST(HostileHeader, NoArchitecture) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata.erase("general.architecture");
  expect_refused(builder, "general.architecture");
}

TEST(HostileHeader, UnknownArchitecture) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["general.architecture"] = std::string("rwkv9");
  const Error error = error_of(builder);
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_NE(error.message.find("rwkv9"), std::string::npos) << error.message;
  for (const ArchSpec* spec : architectures()) {
    EXPECT_NE(error.message.find(spec->name), std::string::npos) << error.message;
  }
}

}  // namespace mullama::model::test
