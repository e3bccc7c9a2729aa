#include "model/definition.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <variant>
#include <vector>

#include "model/gguf_builder.hpp"

namespace mullama::model::test {

namespace {

Definition define_or_die(const BuiltFile& built) {
  auto definition = define(built.file);
  EXPECT_TRUE(definition) << definition.error().message;
  return definition ? std::move(*definition) : Definition{};
}

template <class Step>
std::vector<const Step*> steps_of(const backend::Program& program) {
  std::vector<const Step*> found;
  for (const backend::Step& step : program.steps) {
    if (const auto* typed = std::get_if<Step>(&step)) found.push_back(typed);
  }
  return found;
}

GgufBuilder renamed(std::string_view architecture) {
  GgufBuilder builder = GgufBuilder::llama();
  GgufBuilder other;
  other.tensors = builder.tensors;
  for (const auto& [key, value] : builder.metadata) {
    other.metadata[key.starts_with("llama.") ? std::string(architecture) + key.substr(5) : key] = value;
  }
  other.metadata["general.architecture"] = std::string(architecture);
  return other;
}

}  // namespace

TEST(Definition, ALayerIsSixSteps) {
  const BuiltFile built = parse(GgufBuilder::llama());
  const Definition definition = define_or_die(built);
  // Embedding; q, k and v; rope; attention; output; gate and up; down; logits.
  ASSERT_EQ(definition.program.steps.size(), 1 + 2 * 6 + 1u);
  const auto products = steps_of<backend::LinearStep>(definition.program);
  EXPECT_EQ(products[0]->outputs.size(), 3u);
  EXPECT_NE(products[0]->norm.weight, backend::kNoTensor);
  EXPECT_TRUE(products[1]->accumulate);
  EXPECT_EQ(products[2]->outputs.size(), 2u);
  EXPECT_NE(products[3]->in_up, backend::kNoSlot);
  EXPECT_TRUE(products[3]->accumulate);
  EXPECT_TRUE(definition.unused.empty());
  EXPECT_EQ(definition.program.vocabulary, 96u);
  EXPECT_EQ(definition.program.embedding_width, 64u);
}

TEST(Definition, SlotsOfLayersShareBytes) {
  GgufBuilder builder = GgufBuilder::llama();
  const uint32_t two = define_or_die(parse(builder)).program.activation_width;
  builder.metadata["llama.block_count"] = 1u;
  std::erase_if(builder.tensors, [](const auto& tensor) { return tensor.first.starts_with("blk.1."); });
  EXPECT_EQ(define_or_die(parse(builder)).program.activation_width, two);
}

TEST(Definition, TiedOutputCountsOnce) {
  GgufBuilder builder = GgufBuilder::llama();
  const BuiltFile tied = parse(builder);
  const Definition definition = define_or_die(tied);
  const auto* embedding = steps_of<backend::EmbedStep>(definition.program)[0];
  const auto* logits = steps_of<backend::LogitsStep>(definition.program)[0];
  EXPECT_EQ(logits->weight, embedding->table);
  const WeightTotals totals = weight_totals(definition);

  builder.tensors["output.weight"] = {{64, 96}, gguf::TensorType::Q8_0};
  const BuiltFile separate = parse(builder);
  const WeightTotals more = weight_totals(define_or_die(separate));
  EXPECT_EQ(more.parameters, totals.parameters + 64 * 96);
  EXPECT_EQ(more.bytes, totals.bytes + 64 * 96 / 32 * 34);
  ASSERT_EQ(more.by_type.size(), 2u);
  EXPECT_EQ(more.by_type[1].type, gguf::TensorType::Q8_0);
  EXPECT_EQ(more.layer_bytes[0], more.layer_bytes[1]);
  EXPECT_EQ(more.bytes, more.other_bytes + more.layer_bytes[0] + more.layer_bytes[1]);
}

TEST(Definition, TotalsAreTheTensorsOfTheFile) {
  const BuiltFile built = parse(GgufBuilder::llama());
  uint64_t bytes = 0;
  for (const gguf::TensorInfo& tensor : built.file.tensors()) bytes += tensor.bytes;
  const WeightTotals totals = weight_totals(define_or_die(built));
  EXPECT_EQ(totals.bytes, bytes);
  EXPECT_EQ(totals.parameters, bytes / 4);
  EXPECT_EQ(totals.active_parameters, totals.parameters);
}

TEST(Definition, ActiveParametersAreTheUsedShareOfExperts) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.expert_count"] = 4u;
  builder.metadata["llama.expert_used_count"] = 1u;
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* dense : {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) {
      builder.tensors.erase(layer + dense);
    }
    builder.tensors[layer + "ffn_gate_inp.weight"] = {{64, 4}};
    builder.tensors[layer + "ffn_gate_exps.weight"] = {{64, 96, 4}};
    builder.tensors[layer + "ffn_up_exps.weight"] = {{64, 96, 4}};
    builder.tensors[layer + "ffn_down_exps.weight"] = {{96, 64, 4}};
  }
  const WeightTotals totals = weight_totals(define_or_die(parse(builder)));
  EXPECT_EQ(totals.parameters - totals.active_parameters, 2 * 3 * 64 * 96 * 3u);
}

TEST(Definition, FusedTensorsAreBoundAsParts) {
  GgufBuilder builder = GgufBuilder::llama();
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* single : {"attn_q", "attn_k", "attn_v", "ffn_gate"}) {
      builder.tensors.erase(layer + single + ".weight");
    }
    builder.tensors[layer + "attn_qkv.weight"] = {{64, 64 + 32 + 32}, gguf::TensorType::Q4_0};
    builder.tensors[layer + "attn_qkv.bias"] = {{64 + 32 + 32}};
    builder.tensors[layer + "ffn_up.weight"] = {{64, 192}};
  }
  const BuiltFile built = parse(builder);
  const Definition definition = define_or_die(built);
  EXPECT_TRUE(definition.unused.empty());
  const gguf::TensorInfo* tensor = built.file.tensor("blk.0.attn_qkv.weight");
  const auto products = steps_of<backend::LinearStep>(definition.program);
  const uint32_t first_rows[] = {0, 64, 96};
  const uint32_t rows[] = {64, 32, 32};
  for (size_t i = 0; i < 3; ++i) {
    const auto& output = products[0]->outputs[i];
    const backend::Matrix& matrix = definition.weights[output.weight];
    EXPECT_EQ(matrix.rows, rows[i]);
    EXPECT_EQ(matrix.data, tensor->data + first_rows[i] * matrix.row_bytes);
    EXPECT_EQ(definition.infos[output.weight].first_row, first_rows[i]);
    const backend::Matrix& bias = definition.weights[output.bias];
    EXPECT_EQ(bias.data, built.file.tensor("blk.0.attn_qkv.bias")->data + first_rows[i] * sizeof(float));
  }
  EXPECT_EQ(definition.weights[products[2]->outputs[1].weight].data,
            built.file.tensor("blk.0.ffn_up.weight")->data + 96 * 64 * sizeof(float));
  uint64_t bytes = 0;
  for (const gguf::TensorInfo& t : built.file.tensors()) bytes += t.bytes;
  EXPECT_EQ(weight_totals(definition).bytes, bytes);
}

TEST(Definition, UnusedTensorsAreListed) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.tensors["blk.0.attn_gate.weight"] = {{64, 64}};
  const BuiltFile built = parse(builder);
  const Definition definition = define_or_die(built);
  ASSERT_EQ(definition.unused.size(), 1u);
  EXPECT_EQ(definition.unused[0]->name, "blk.0.attn_gate.weight");
}

TEST(Definition, NumbersMayDifferBetweenLayers) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.attention.head_count_kv"] = GgufBuilder::Array{gguf::ValueType::i32, {2, 4}, {}};
  builder.metadata["llama.feed_forward_length"] = GgufBuilder::Array{gguf::ValueType::i32, {96, 160}, {}};
  builder.tensors["blk.1.attn_k.weight"] = {{64, 64}};
  builder.tensors["blk.1.attn_v.weight"] = {{64, 64}};
  builder.tensors["blk.1.ffn_gate.weight"] = {{64, 160}};
  builder.tensors["blk.1.ffn_up.weight"] = {{64, 160}};
  builder.tensors["blk.1.ffn_down.weight"] = {{160, 64}};
  const Definition definition = define_or_die(parse(builder));
  EXPECT_EQ(definition.program.kv_layers[0].kv_heads, 2u);
  EXPECT_EQ(definition.program.kv_layers[1].kv_heads, 4u);
  EXPECT_EQ(definition.hparams.layers[1].feed_forward, 160u);
}

TEST(Definition, LayersOfOneWindowShareAGroup) {
  GgufBuilder builder = GgufBuilder::llama();
  builder.metadata["llama.attention.sliding_window"] = 64u;
  builder.metadata["llama.attention.sliding_window_pattern"] =
      GgufBuilder::Array{gguf::ValueType::boolean, {0, 1}, {}};
  const Definition mixed = define_or_die(parse(builder));
  ASSERT_EQ(mixed.program.kv_groups.size(), 2u);
  EXPECT_EQ(mixed.program.kv_groups[0].window, 0u);
  EXPECT_EQ(mixed.program.kv_groups[1].window, 64u);
  EXPECT_EQ(mixed.program.kv_layers[0].group, 0u);
  EXPECT_EQ(mixed.program.kv_layers[1].group, 1u);

  builder.metadata["llama.attention.sliding_window_pattern"] = 2u;
  const Definition counted = define_or_die(parse(builder));
  EXPECT_EQ(counted.program.kv_layers[0].group, 1u);
  EXPECT_EQ(counted.program.kv_layers[1].group, 0u);

  // A window that the trained context never leaves is none.
  builder.metadata["llama.attention.sliding_window"] = 512u;
  EXPECT_EQ(define_or_die(parse(builder)).program.kv_groups.size(), 1u);
}

TEST(Definition, GraniteFilesMaySwitchRopeOff) {
  GgufBuilder builder = renamed("granite");
  for (const bool rope : {true, false}) {
    builder.metadata["granite.rope.scaling.finetuned"] = rope;
    const Definition definition = define_or_die(parse(builder));
    for (const auto* step : steps_of<backend::RopeStoreStep>(definition.program)) {
      EXPECT_EQ(step->rope, rope ? 0u : backend::RopeStoreStep::kNoRope);
    }
  }
}

TEST(Definition, WholeWidthAndHeadNormsAreToldByTheirLength) {
  GgufBuilder builder = GgufBuilder::llama();
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    builder.tensors[layer + "attn_q_norm.weight"] = {{16}};
    builder.tensors[layer + "attn_k_norm.weight"] = {{16}};
  }
  EXPECT_TRUE(steps_of<backend::NormStep>(define_or_die(parse(builder)).program).empty());
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    builder.tensors[layer + "attn_q_norm.weight"] = {{64}};
    builder.tensors[layer + "attn_k_norm.weight"] = {{32}};
  }
  EXPECT_EQ(steps_of<backend::NormStep>(define_or_die(parse(builder)).program).size(), 4u);
  EXPECT_FALSE(define(parse(renamed("qwen3")).file)) << "Qwen 3 needs its q and k norms";
}

TEST(Definition, ReadsNoTensorData) {
  // The data lies in pages that may not be touched.
  GgufBuilder builder = GgufBuilder::llama();
  builder.tensors["rope_freqs.weight"] = {{8}};
  builder.alignment = 65536;
  const auto bytes = builder.build();
  void* const memory =
      mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memcpy(memory, bytes.data(), bytes.size());
  ASSERT_EQ(mprotect(static_cast<std::byte*>(memory) + builder.alignment, bytes.size() - builder.alignment,
                     PROT_NONE),
            0);
  {
    const auto file = gguf::File::parse({static_cast<const std::byte*>(memory), bytes.size()}, "untouchable");
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_EQ(file->tensors()[0].offset, builder.alignment);
    const auto definition = define(*file);
    ASSERT_TRUE(definition) << definition.error().message;
    EXPECT_EQ(weight_totals(*definition).layer_bytes.size(), 2u);
  }
  munmap(memory, bytes.size());
}

}  // namespace mullama::model::test
