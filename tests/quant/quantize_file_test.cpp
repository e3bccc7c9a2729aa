#include "quant/quantize_file.hpp"

#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <random>

#include "base/half.hpp"
#include "gguf/file.hpp"
#include "gguf/gguf_bytes.hpp"
#include "gguf/writer.hpp"
#include "quant/format.hpp"
#include "quant/tensor_mix.hpp"

namespace mullama::quant {
namespace {

using gguf::GgufBytes;
using gguf::TemporaryFolder;
using gguf::TensorType;
using gguf::ValueType;

struct Shape {
  uint32_t layers = 2;
  uint64_t width = 256;
  uint64_t ffn = 512;
  uint64_t vocabulary = 64;
  uint32_t heads = 4;
  uint32_t kv_heads = 4;
  uint32_t experts = 0;
  bool tied = false;
  bool fused_qkv = false;
  TensorType type = TensorType::F32;
};

void write_bytes(gguf::Writer& writer, TensorType type, uint64_t values, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> floats(values);
  for (float& value : floats) value = normal(random);
  std::vector<std::byte> bytes(gguf::row_bytes(type, values).value());
  format(type).quantize(floats.data(), nullptr, bytes.data(), values);
  ASSERT_TRUE(writer.write(bytes));
}

/// A small model with random weights and the tensors that the families of this project have.
void write_model(const std::filesystem::path& path, const Shape& shape) {
  auto writer = gguf::Writer::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  writer->set("general.architecture", "llama");
  writer->set("general.name", "small");
  writer->set("general.file_type", uint32_t{0});
  writer->set("llama.block_count", shape.layers);
  writer->set("llama.attention.head_count", shape.heads);
  writer->set("llama.attention.head_count_kv", shape.kv_heads);
  if (shape.experts > 0) writer->set("llama.expert_count", shape.experts);
  std::vector<std::pair<TensorType, uint64_t>> written;
  const auto add = [&](const std::string& name, std::vector<uint64_t> sizes) {
    const bool keeps_precision = sizes.size() == 1 || name.find("ffn_gate_inp") != std::string::npos;
    const TensorType type = keeps_precision ? TensorType::F32 : shape.type;
    ASSERT_TRUE(writer->add_tensor(name, type, sizes));
    uint64_t values = 1;
    for (const uint64_t size : sizes) values *= size;
    written.emplace_back(type, values);
  };
  const uint64_t kv_width = shape.width / shape.heads * shape.kv_heads;
  add("output_norm.weight", {shape.width});
  if (!shape.tied) add("output.weight", {shape.width, shape.vocabulary});
  add("token_embd.weight", {shape.width, shape.vocabulary});
  for (uint32_t i = 0; i < shape.layers; ++i) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", i, part); };
    add(name("attn_norm.weight"), {shape.width});
    if (shape.fused_qkv) {
      add(name("attn_qkv.weight"), {shape.width, shape.width + 2 * kv_width});
    } else {
      add(name("attn_q.weight"), {shape.width, shape.width});
      add(name("attn_k.weight"), {shape.width, kv_width});
      add(name("attn_v.weight"), {shape.width, kv_width});
      add(name("attn_q.bias"), {shape.width});
    }
    add(name("attn_output.weight"), {shape.width, shape.width});
    if (shape.experts > 0) {
      add(name("ffn_gate_inp.weight"), {shape.width, shape.experts});
      add(name("ffn_up_exps.weight"), {shape.width, shape.ffn, shape.experts});
      add(name("ffn_down_exps.weight"), {shape.ffn, shape.width, shape.experts});
    } else {
      add(name("ffn_up.weight"), {shape.width, shape.ffn});
      add(name("ffn_down.weight"), {shape.ffn, shape.width});
    }
  }
  ASSERT_TRUE(writer->begin());
  std::mt19937_64 random(1);
  for (const auto& [type, values] : written) write_bytes(*writer, type, values, random);
  ASSERT_TRUE(writer->finish());
}

std::map<std::string, TensorType> types_of(const std::filesystem::path& path) {
  std::map<std::string, TensorType> types;
  const auto file = gguf::File::open(path);
  EXPECT_TRUE(file) << file.error().message;
  if (!file) return types;
  for (const gguf::TensorInfo& tensor : file->tensors()) types.emplace(tensor.name, tensor.type);
  return types;
}

std::vector<float> floats_of(const gguf::File& file, std::string_view name) {
  const gguf::TensorInfo* tensor = file.tensor(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<float> out(tensor->values());
  dequantize_row(tensor->type, tensor->data, out.data(), out.size());
  return out;
}

TEST(QuantizeFile, EveryTypeFromEverySourceKeepsTheModel) {
  const TemporaryFolder folder;
  for (const TensorType source : {TensorType::F32, TensorType::F16, TensorType::BF16}) {
    Shape shape;
    shape.layers = 1;
    shape.type = source;
    write_model(folder / "in.gguf", shape);
    const auto in = gguf::File::open(folder / "in.gguf");
    ASSERT_TRUE(in) << in.error().message;
    for (const FileTypeInfo& type : file_types()) {
      const auto report = quantize_file(folder / "in.gguf", folder / "out.gguf", type.type);
      ASSERT_TRUE(report) << report.error().message;
      const auto out = gguf::File::open(folder / "out.gguf");
      ASSERT_TRUE(out) << out.error().message;
      EXPECT_EQ(report->bytes_before, in->file_bytes());
      EXPECT_EQ(report->bytes_after, out->file_bytes());
      EXPECT_EQ(report->tensors, in->tensors().size());
      EXPECT_EQ(out->string("general.name").value(), "small");
      EXPECT_EQ(out->integer("general.file_type").value(), static_cast<uint64_t>(type.type));
      EXPECT_EQ(out->integer("general.quantization_version").value(), 2u);
      ASSERT_EQ(out->tensors().size(), in->tensors().size());
      for (size_t i = 0; i < in->tensors().size(); ++i) {
        const gguf::TensorInfo& before = in->tensors()[i];
        const gguf::TensorInfo& after = out->tensors()[i];
        ASSERT_EQ(before.name, after.name);
        ASSERT_EQ(before.shape, after.shape);
        if (before.dimensions == 1) {
          EXPECT_EQ(after.type, TensorType::F32);
        }
        const auto a = floats_of(*in, before.name);
        const auto b = floats_of(*out, before.name);
        double error = 0;
        double power = 0;
        for (size_t k = 0; k < a.size(); ++k) {
          error += std::pow(static_cast<double>(a[k]) - b[k], 2);
          power += std::pow(static_cast<double>(a[k]), 2);
        }
        EXPECT_LT(std::sqrt(error / power), type.type == FileType::Q2_K ? 0.35 : 0.17)
            << before.name << " " << type.name;
      }
    }
  }
}

struct MixRow {
  FileType type;
  const char* tensor;
  TensorType expected;
};

void expect_mix(const Shape& shape, std::initializer_list<MixRow> rows) {
  const TemporaryFolder folder;
  write_model(folder / "in.gguf", shape);
  const auto file = gguf::File::open(folder / "in.gguf");
  ASSERT_TRUE(file) << file.error().message;
  for (const MixRow& row : rows) {
    const auto choices = choose_types(*file, row.type);
    ASSERT_TRUE(choices) << choices.error().message;
    bool found = false;
    for (size_t i = 0; i < choices->size(); ++i) {
      if (file->tensors()[i].name != row.tensor) continue;
      found = true;
      EXPECT_EQ(gguf::name((*choices)[i].type), gguf::name(row.expected))
          << info(row.type).name << " " << row.tensor;
    }
    EXPECT_TRUE(found) << row.tensor;
  }
}

// The expectations were compared with the files that llama.cpp writes for models of the same shapes.
TEST(TensorMix, GivesMoreBitsWhereUsersExpectThem) {
  Shape shape;
  shape.layers = 16;
  shape.ffn = 256;
  shape.kv_heads = 1;
  expect_mix(shape, {
                        {FileType::Q4_K_M, "output.weight", TensorType::Q6_K},
                        {FileType::Q4_K_M, "token_embd.weight", TensorType::Q4_K},
                        {FileType::Q4_K_M, "output_norm.weight", TensorType::F32},
                        {FileType::Q4_K_M, "blk.0.attn_q.bias", TensorType::F32},
                        {FileType::Q4_K_M, "blk.0.attn_q.weight", TensorType::Q4_K},
                        {FileType::Q4_K_M, "blk.0.attn_v.weight", TensorType::Q6_K},
                        {FileType::Q4_K_M, "blk.1.ffn_down.weight", TensorType::Q6_K},
                        {FileType::Q4_K_M, "blk.2.attn_v.weight", TensorType::Q4_K},
                        {FileType::Q4_K_M, "blk.3.ffn_down.weight", TensorType::Q4_K},
                        {FileType::Q4_K_M, "blk.4.attn_v.weight", TensorType::Q6_K},
                        {FileType::Q4_K_M, "blk.13.attn_v.weight", TensorType::Q6_K},
                        {FileType::Q4_K_M, "blk.15.ffn_down.weight", TensorType::Q6_K},
                        {FileType::Q5_K_M, "blk.0.attn_v.weight", TensorType::Q6_K},
                        {FileType::Q5_K_M, "blk.2.attn_v.weight", TensorType::Q5_K},
                        {FileType::Q4_K_S, "blk.3.attn_v.weight", TensorType::Q5_K},
                        {FileType::Q4_K_S, "blk.4.attn_v.weight", TensorType::Q4_K},
                        {FileType::Q4_K_S, "blk.1.ffn_down.weight", TensorType::Q5_K},
                        {FileType::Q4_K_S, "blk.2.ffn_down.weight", TensorType::Q4_K},
                        {FileType::Q3_K_M, "blk.1.attn_v.weight", TensorType::Q5_K},
                        {FileType::Q3_K_M, "blk.2.attn_v.weight", TensorType::Q4_K},
                        {FileType::Q3_K_M, "blk.0.ffn_down.weight", TensorType::Q5_K},
                        {FileType::Q3_K_M, "blk.1.ffn_down.weight", TensorType::Q4_K},
                        {FileType::Q3_K_M, "blk.0.attn_output.weight", TensorType::Q4_K},
                        {FileType::Q3_K_M, "blk.0.ffn_up.weight", TensorType::Q3_K},
                        {FileType::Q2_K, "blk.0.attn_v.weight", TensorType::Q4_K},
                        {FileType::Q4_0, "output.weight", TensorType::Q6_K},
                        {FileType::Q4_0, "blk.0.attn_v.weight", TensorType::Q4_0},
                        {FileType::Q8_0, "output.weight", TensorType::Q8_0},
                        {FileType::F16, "output.weight", TensorType::F16},
                    });
}

TEST(TensorMix, KnowsTiedFusedAndExpertModels) {
  Shape tied;
  tied.tied = true;
  expect_mix(tied, {{FileType::Q4_K_M, "token_embd.weight", TensorType::Q6_K},
                    {FileType::Q4_0, "token_embd.weight", TensorType::Q6_K}});
  Shape fused;
  fused.layers = 12;
  fused.fused_qkv = true;
  expect_mix(fused, {{FileType::Q4_K_M, "blk.0.attn_qkv.weight", TensorType::Q6_K},
                     {FileType::Q4_K_M, "blk.1.attn_qkv.weight", TensorType::Q4_K},
                     {FileType::Q3_K_M, "blk.0.attn_qkv.weight", TensorType::Q5_K}});
  Shape experts;
  experts.experts = 8;
  expect_mix(experts, {{FileType::Q4_K_M, "blk.0.ffn_gate_inp.weight", TensorType::F32},
                       {FileType::Q4_K_M, "blk.0.attn_v.weight", TensorType::Q8_0},
                       {FileType::Q4_K_M, "blk.0.attn_k.weight", TensorType::Q8_0},
                       {FileType::Q4_K_M, "blk.0.attn_output.weight", TensorType::Q5_K},
                       {FileType::Q4_K_M, "blk.0.ffn_up_exps.weight", TensorType::Q4_K},
                       {FileType::Q4_K_M, "blk.1.ffn_down_exps.weight", TensorType::Q6_K}});
}

TEST(TensorMix, FallsBackForRowsThatDoNotFillBlocks) {
  Shape narrow;
  narrow.width = 288;
  narrow.tied = true;
  expect_mix(narrow, {{FileType::Q4_K_M, "blk.0.attn_q.weight", TensorType::Q5_0},
                      {FileType::Q5_K_M, "blk.0.attn_q.weight", TensorType::Q5_1},
                      {FileType::Q6_K, "blk.0.attn_q.weight", TensorType::Q8_0},
                      {FileType::Q3_K_M, "blk.0.attn_q.weight", TensorType::IQ4_NL},
                      {FileType::Q4_K_M, "blk.1.ffn_down.weight", TensorType::Q6_K},
                      {FileType::Q4_K_M, "token_embd.weight", TensorType::Q8_0},
                      {FileType::Q4_0, "token_embd.weight", TensorType::Q8_0}});
  Shape odd;
  odd.width = 40;
  expect_mix(odd, {{FileType::Q4_0, "blk.0.attn_q.weight", TensorType::F16},
                   {FileType::Q4_K_M, "blk.0.attn_q.weight", TensorType::F16},
                   {FileType::Q4_K_M, "blk.1.ffn_down.weight", TensorType::Q6_K}});
}

TEST(QuantizeFile, MergesSplitModels) {
  const TemporaryFolder folder;
  for (uint16_t i = 0; i < 2; ++i) {
    gguf::write_file(folder / fmt::format("m-{:05}-of-00002.gguf", i + 1),
                     GgufBytes()
                         .string("general.architecture", "llama")
                         .number<uint16_t>("split.no", ValueType::u16, i)
                         .number<uint16_t>("split.count", ValueType::u16, 2)
                         .number<int32_t>("split.tensors.count", ValueType::i32, 2)
                         .tensor(fmt::format("blk.{}.ffn_up.weight", i), {64, 2}, TensorType::F16)
                         .str());
  }
  const auto report = quantize_file(folder / "m-00001-of-00002.gguf", folder / "whole.gguf", FileType::Q8_0);
  ASSERT_TRUE(report) << report.error().message;
  const auto whole = gguf::File::open(folder / "whole.gguf");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->tensors().size(), 2u);
  EXPECT_EQ(whole->find("split.count"), nullptr);
}

TEST(QuantizeFile, RequantizesOnlyWhenAllowed) {
  const TemporaryFolder folder;
  Shape shape;
  shape.type = TensorType::Q8_0;
  write_model(folder / "in.gguf", shape);
  const auto refused = quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q4_0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message.find("already quantized as Q8_0"), std::string::npos)
      << refused.error().message;
  EXPECT_FALSE(std::filesystem::exists(folder / "out.gguf"));
  // Nothing to convert is nothing to lose.
  EXPECT_TRUE(quantize_file(folder / "in.gguf", folder / "same.gguf", FileType::Q8_0));
  QuantizeOptions options;
  options.allow_requantize = true;
  EXPECT_TRUE(quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q4_0, options));
  EXPECT_EQ(types_of(folder / "out.gguf")["blk.0.attn_q.weight"], TensorType::Q4_0);
}

TEST(QuantizeFile, KeepsExpertsThatCameAsMxfp4) {
  const TemporaryFolder folder;
  gguf::write_file(folder / "in.gguf",
                   GgufBytes()
                       .string("general.architecture", "gpt-oss")
                       .tensor("blk.0.ffn_up_exps.weight", {256, 4, 2}, TensorType::MXFP4, 'x')
                       .tensor("blk.0.attn_q.weight", {256, 4}, TensorType::BF16)
                       .str());
  ASSERT_TRUE(quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q4_K_M));
  auto types = types_of(folder / "out.gguf");
  EXPECT_EQ(types["blk.0.ffn_up_exps.weight"], TensorType::MXFP4);
  EXPECT_EQ(types["blk.0.attn_q.weight"], TensorType::Q4_K);
}

TEST(QuantizeFile, CancelsThroughTheCallbackAndLeavesNothing) {
  const TemporaryFolder folder;
  write_model(folder / "in.gguf", {});
  size_t calls = 0;
  uint64_t values = 0;
  const auto all = quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q4_0, {},
                                 [&](const QuantizeProgress& progress) {
                                   ++calls;
                                   EXPECT_GE(progress.values_done, values);
                                   values = progress.values_done;
                                   EXPECT_LE(values, progress.values);
                                   return true;
                                 });
  ASSERT_TRUE(all);
  EXPECT_GE(calls, all->tensors + 1);
  for (size_t stop = 1; stop <= calls; stop += 5) {
    size_t count = 0;
    const auto canceled = quantize_file(folder / "in.gguf", folder / "canceled.gguf", FileType::Q4_0, {},
                                        [&](const QuantizeProgress&) { return ++count < stop; });
    ASSERT_FALSE(canceled);
    EXPECT_EQ(canceled.error().code, ErrorCode::canceled);
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.is_regular_file();
  EXPECT_EQ(files, 2u);
}

TEST(QuantizeFile, ThreadsDoNotChangeTheResult) {
  const TemporaryFolder folder;
  Shape shape;
  shape.layers = 1;
  shape.vocabulary = 8192;  // More than one slab of rows.
  write_model(folder / "in.gguf", shape);
  for (const unsigned threads : {1u, 2u, 7u}) {
    QuantizeOptions options;
    options.threads = threads;
    const auto path = folder / fmt::format("{}.gguf", threads);
    ASSERT_TRUE(quantize_file(folder / "in.gguf", path, FileType::Q4_K_M, options));
    EXPECT_TRUE(gguf::read_file(path) == gguf::read_file(folder / "1.gguf")) << threads << " threads";
  }
}

TEST(QuantizeFile, StaysWithinTheBudget) {
  const TemporaryFolder folder;
  write_model(folder / "in.gguf", {});
  QuantizeOptions options;
  options.ledger = memory::Ledger();
  ASSERT_TRUE(quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q8_0, options));
  EXPECT_EQ(options.ledger.usage().total(memory::kHost), 0u);
  options.ledger.set_budget(memory::kHost, 1 << 20);
  const auto refused = quantize_file(folder / "in.gguf", folder / "other.gguf", FileType::Q8_0, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::budget_exceeded) << refused.error().message;
}

TEST(QuantizeFile, RefusesToOverwriteItsSource) {
  const TemporaryFolder folder;
  write_model(folder / "in.gguf", {});
  std::filesystem::create_hard_link(folder / "in.gguf", folder / "link.gguf");
  EXPECT_EQ(quantize_file(folder / "in.gguf", folder / "in.gguf", FileType::Q8_0).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(quantize_file(folder / "in.gguf", folder / "link.gguf", FileType::Q8_0).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(quantize_file(folder / "absent.gguf", folder / "out.gguf", FileType::Q8_0).error().code,
            ErrorCode::not_found);
}

std::string model_with_value(float value, std::string_view name = "blk.0.ffn_up.weight") {
  std::string data(8192 * 3 * sizeof(float), '\0');
  std::memcpy(data.data() + 20000 * sizeof(float), &value, sizeof(value));
  return GgufBytes()
      .string("general.architecture", "llama")
      .raw_tensor(name, {256, 96}, static_cast<uint32_t>(TensorType::F32), 0)
      .data(data)
      .str();
}

// Weights that are not numbers, or that overflow a binary16 scale, name their tensor instead of spreading
// NaN.
TEST(Threats, NanFromHalfOverflow) {
  const TemporaryFolder folder;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::string_view name : {"blk.0.ffn_up.weight", "blk.0.attn_norm.weight"}) {
      gguf::write_file(folder / "in.gguf", model_with_value(bad, name));
      for (const FileTypeInfo& type : file_types()) {
        const auto refused = quantize_file(folder / "in.gguf", folder / "out.gguf", type.type);
        ASSERT_FALSE(refused) << type.name;
        EXPECT_EQ(refused.error().code, ErrorCode::corrupt_file);
        EXPECT_NE(refused.error().message.find(name), std::string::npos) << refused.error().message;
        EXPECT_NE(refused.error().message.find("at value 20000"), std::string::npos)
            << refused.error().message;
      }
    }
  }
  gguf::write_file(folder / "in.gguf", model_with_value(70000));
  const auto refused = quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::F16);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("too large for F16"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::BF16));
}

// The path that was attacked: quantizing a file whose tensor reaches beyond it.
TEST(Threats, CVE_2026_7482_QuantizingATensorBeyondTheFile) {
  const TemporaryFolder folder;
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1024}, uint64_t{0} - 1024}) {
    gguf::write_file(folder / "in.gguf", GgufBytes()
                                             .string("general.architecture", "llama")
                                             .raw_tensor("blk.0.ffn_up.weight", {256, 1024}, 0, offset)
                                             .data(std::string(4096, 'x'))
                                             .str());
    const auto refused = quantize_file(folder / "in.gguf", folder / "out.gguf", FileType::Q8_0);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::corrupt_file);
    EXPECT_FALSE(std::filesystem::exists(folder / "out.gguf"));
  }
}

TEST(FileType, NamesAreThoseThatUsersType) {
  EXPECT_EQ(file_type_from_name("Q4_K_M"), FileType::Q4_K_M);
  EXPECT_EQ(file_type_from_name("q4_k_m"), FileType::Q4_K_M);
  EXPECT_EQ(file_type_from_name("q4_K"), FileType::Q4_K_M);
  EXPECT_EQ(file_type_from_name("q8_0"), FileType::Q8_0);
  EXPECT_EQ(file_type_from_name("bf16"), FileType::BF16);
  EXPECT_FALSE(file_type_from_name("Q4_2"));
  EXPECT_FALSE(file_type_from_name(""));
  EXPECT_EQ(file_type_name(15), "Q4_K_M");
  EXPECT_EQ(file_type_name(30), "IQ4_XS");
  EXPECT_EQ(file_type_name(4711), "");
  for (const FileTypeInfo& type : file_types()) EXPECT_EQ(file_type_from_name(type.name), type.type);
}

}  // namespace
}  // namespace mullama::quant
