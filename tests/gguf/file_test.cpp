#include "gguf/file.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "gguf/gguf_bytes.hpp"

namespace mullama::gguf {
namespace {

std::string error_of(const std::string& bytes) {
  const auto file = File::parse(bytes_of(bytes), "t.gguf");
  return file ? "" : file.error().message;
}

void expect_refused(const std::string& bytes, ErrorCode code, std::string_view part) {
  const auto file = File::parse(bytes_of(bytes), "t.gguf");
  ASSERT_FALSE(file) << "accepted; expected: " << part;
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_NE(file.error().message.find(part), std::string::npos)
      << file.error().message << "\nlacks: " << part;
  EXPECT_NE(file.error().message.find("t.gguf"), std::string::npos) << file.error().message;
}

// Every value type alone and as an array, in both versions of the format.
TEST(GgufFile, ReadsEveryMetadataType) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBytes bytes(version);
    bytes.number<uint8_t>("u8", ValueType::u8, 200)
        .number<int8_t>("i8", ValueType::i8, -100)
        .number<uint16_t>("u16", ValueType::u16, 60000)
        .number<int16_t>("i16", ValueType::i16, -30000)
        .number<uint32_t>("u32", ValueType::u32, 4000000000u)
        .number<int32_t>("i32", ValueType::i32, -2000000000)
        .number<float>("f32", ValueType::f32, 0.5f)
        .number<uint8_t>("bool", ValueType::boolean, 1)
        .string("string", "text with \"quotes\"")
        .number<uint64_t>("u64", ValueType::u64, 1ull << 62)
        .number<int64_t>("i64", ValueType::i64, -(1ll << 62))
        .number<double>("f64", ValueType::f64, 1e300)
        .array("strings", ValueType::string, 3,
               GgufBytes::text("a") + GgufBytes::text("") + GgufBytes::text("ccc"))
        .array("floats", ValueType::f32, 2, GgufBytes::encode(1.5f) + GgufBytes::encode(-2.5f))
        .array("i16s", ValueType::i16, 2, GgufBytes::encode<int16_t>(-1) + GgufBytes::encode<int16_t>(7))
        .array("none", ValueType::u64, 0, "")
        .array("nested", ValueType::array, 2,
               GgufBytes::array_payload(ValueType::u8, 3, "abc") +
                   GgufBytes::array_payload(ValueType::string, 1, GgufBytes::text("x")));
    const std::string text = bytes.str();
    const auto file = File::parse(bytes_of(text), "t.gguf");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->metadata().size(), 17u);
    EXPECT_EQ(file->tensors().size(), 0u);
    EXPECT_EQ(file->integer("u8").value(), 200u);
    EXPECT_EQ(file->integer("u16").value(), 60000u);
    EXPECT_EQ(file->integer("u32").value(), 4000000000u);
    EXPECT_EQ(file->integer("u64").value(), 1ull << 62);
    EXPECT_EQ(file->find("i8")->integer_element(0), -100);
    EXPECT_EQ(file->find("i16")->integer_element(0), -30000);
    EXPECT_EQ(file->find("i32")->integer_element(0), -2000000000);
    EXPECT_EQ(file->find("i64")->integer_element(0), -(1ll << 62));
    EXPECT_EQ(file->number("f32").value(), 0.5);
    EXPECT_EQ(file->number("f64").value(), 1e300);
    EXPECT_EQ(file->number("i8").value(), -100.0);
    EXPECT_EQ(file->boolean("bool").value(), true);
    EXPECT_EQ(file->string("string").value(), "text with \"quotes\"");
    std::vector<std::string> strings;
    file->array("strings", ValueType::string)->for_each_string([&](uint64_t i, std::string_view item) {
      EXPECT_EQ(i, strings.size());
      strings.emplace_back(item);
    });
    EXPECT_EQ(strings, (std::vector<std::string>{"a", "", "ccc"}));
    EXPECT_EQ(file->number_array("floats")->number_element(1), -2.5);
    EXPECT_EQ(file->number_array("i16s")->integer_element(0), -1);
    EXPECT_EQ(file->number_array("none")->count(), 0u);
    EXPECT_EQ(file->find("nested")->element_type(), ValueType::array);
    EXPECT_EQ(file->find("nested")->count(), 2u);
    EXPECT_EQ(file->find("strings")->to_display(2), "[\"a\", \"\", ... 3 in all]");
    EXPECT_EQ(file->find("i64")->to_display(), "-4611686018427387904");
  }
}

TEST(GgufFile, LookupsCheckTypeAndRangeAndNameTheKey) {
  const std::string text = GgufBytes()
                               .number<uint32_t>("layers", ValueType::u32, 40)
                               .number<int32_t>("negative", ValueType::i32, -1)
                               .number<uint64_t>("huge", ValueType::u64, UINT64_MAX)
                               .number<float>("nan", ValueType::f32, NAN)
                               .string("name", "llama")
                               .str();
  const auto file = File::parse(bytes_of(text), "t.gguf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->integer("absent").error().code, ErrorCode::not_found);
  EXPECT_EQ(file->integer_or("absent", 7).value(), 7u);
  EXPECT_EQ(file->integer_or("layers", 7).value(), 40u);
  for (const auto& [key, status] : {
           std::pair{"name", file->integer("name")},
           std::pair{"name", file->integer_or("name", 1)},
           std::pair{"layers", file->integer("layers", 1, 39)},
           std::pair{"layers", file->integer("layers", 41, 100)},
           std::pair{"negative", file->integer("negative")},
           std::pair{"huge", file->integer("huge")},
       }) {
    ASSERT_FALSE(status) << key;
    EXPECT_EQ(status.error().code, ErrorCode::corrupt_file);
    EXPECT_NE(status.error().message.find(key), std::string::npos) << status.error().message;
  }
  EXPECT_EQ(file->integer("huge", 0, UINT64_MAX).value(), UINT64_MAX);
  EXPECT_EQ(file->string("layers").error().code, ErrorCode::corrupt_file);
  EXPECT_EQ(file->boolean("layers").error().code, ErrorCode::corrupt_file);
  EXPECT_EQ(file->number("nan").error().code, ErrorCode::corrupt_file);
  EXPECT_EQ(file->number("name").error().code, ErrorCode::corrupt_file);
  EXPECT_EQ(file->array("name", ValueType::string).error().code, ErrorCode::corrupt_file);
  EXPECT_EQ(file->number_array("name").error().code, ErrorCode::corrupt_file);
}

TEST(GgufFile, ReadsTensorsOfEveryTypeAndShape) {
  GgufBytes bytes;
  for (const TensorTypeInfo& type : tensor_types()) {
    bytes.tensor(std::string("t.") + std::string(type.name), {256, 3}, type.type, 'x');
  }
  bytes.tensor("one", {5}, TensorType::F32).tensor("four", {32, 2, 3, 4}, TensorType::Q4_0);
  const std::string text = bytes.str();
  const auto file = File::parse(bytes_of(text), "t.gguf");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), tensor_types().size() + 2);
  for (const TensorTypeInfo& type : tensor_types()) {
    const TensorInfo* tensor = file->tensor(std::string("t.") + std::string(type.name));
    ASSERT_NE(tensor, nullptr) << type.name;
    EXPECT_EQ(tensor->type, type.type);
    EXPECT_EQ(tensor->bytes, 768u / type.block_values * type.block_bytes);
    EXPECT_EQ(tensor->data, bytes_of(text).data() + tensor->offset);
    EXPECT_EQ(tensor->offset % 32, 0u);
    EXPECT_EQ(static_cast<char>(tensor->data[0]), 'x');
    EXPECT_EQ(static_cast<char>(tensor->data[tensor->bytes - 1]), 'x');
  }
  EXPECT_EQ(file->tensor("four")->shape, (std::array<uint64_t, 4>{32, 2, 3, 4}));
  EXPECT_EQ(file->tensor("four")->values(), 768u);
  EXPECT_EQ(file->tensor("one")->dimensions, 1u);
  EXPECT_EQ(file->tensor("absent"), nullptr);
}

TEST(GgufFile, FollowsAlignment) {
  for (const uint64_t alignment : {1ull, 8ull, 64ull, 4096ull, 1ull << 20}) {
    const std::string text =
        GgufBytes()
            .alignment(alignment)
            .number<uint32_t>("general.alignment", ValueType::u32, static_cast<uint32_t>(alignment))
            .tensor("a", {3}, TensorType::F32, 'a')
            .tensor("b", {3}, TensorType::F32, 'b')
            .str();
    const auto file = File::parse(bytes_of(text), "t.gguf");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->tensor("a")->offset % alignment, 0u);
    EXPECT_EQ(static_cast<char>(file->tensor("a")->data[0]), 'a');
    EXPECT_EQ(static_cast<char>(file->tensor("b")->data[0]), 'b');
  }
}

TEST(GgufFile, RefusesOtherFilesAndVersions) {
  expect_refused("", ErrorCode::corrupt_file, "ends at byte 0");
  expect_refused("GG", ErrorCode::corrupt_file, "the magic");
  expect_refused("PK\x03\x04 and more text", ErrorCode::corrupt_file, "does not start with 'GGUF'");
  expect_refused(GgufBytes(1).str(), ErrorCode::unsupported, "version 1");
  expect_refused(GgufBytes(4).str(), ErrorCode::unsupported, "version 4");
  expect_refused(GgufBytes(0x03000000).str(), ErrorCode::unsupported, "big-endian");
}

TEST(GgufFile, RefusesDuplicates) {
  expect_refused(GgufBytes().string("key", "a").string("key", "b").str(), ErrorCode::corrupt_file,
                 "'key' appears twice");
  expect_refused(GgufBytes().tensor("t", {4}, TensorType::F32).tensor("t", {4}, TensorType::F32).str(),
                 ErrorCode::corrupt_file, "'t' appears twice");
}

TEST(GgufFile, RefusesUnknownTypes) {
  expect_refused(GgufBytes().raw_entry("odd", 13, "....").str(), ErrorCode::corrupt_file,
                 "'odd' has the unknown value type 13");
  expect_refused(GgufBytes().array("odd", static_cast<ValueType>(99), 1, "....").str(),
                 ErrorCode::corrupt_file, "unknown value type 99");
  expect_refused(GgufBytes().raw_entry("flag", 7, "\x02").str(), ErrorCode::corrupt_file,
                 "neither true nor false");
  expect_refused(GgufBytes().raw_tensor("t", {256}, 16, 0).data(std::string(256, 'x')).str(),
                 ErrorCode::unsupported, "IQ2_XXS");
  expect_refused(GgufBytes().raw_tensor("t", {32}, 1000, 0).data(std::string(256, 'x')).str(),
                 ErrorCode::corrupt_file, "tensor type id 1000");
}

TEST(GgufFile, RefusesImpossibleTensors) {
  const std::string data(4096, 'x');
  expect_refused(GgufBytes().raw_tensor("t", {}, 0, 0).data(data).str(), ErrorCode::corrupt_file,
                 "0 dimensions");
  expect_refused(GgufBytes().raw_tensor("t", {1, 1, 1, 1, 1}, 0, 0).data(data).str(), ErrorCode::corrupt_file,
                 "5 dimensions");
  expect_refused(GgufBytes().raw_tensor("t", {4, 0}, 0, 0).data(data).str(), ErrorCode::corrupt_file,
                 "impossible size 0");
  expect_refused(GgufBytes().raw_tensor("t", {48}, 2, 0).data(data).str(), ErrorCode::corrupt_file,
                 "rows of 48 values, which do not fill the blocks of Q4_0");
  expect_refused(GgufBytes().raw_tensor("t", {4}, 0, 7).data(data).str(), ErrorCode::corrupt_file,
                 "not aligned to 32");
  expect_refused(GgufBytes().raw_tensor("a", {64}, 0, 0).raw_tensor("b", {64}, 0, 224).data(data).str(),
                 ErrorCode::corrupt_file, "'a' and 'b' overlap");
}

TEST(GgufFile, RefusesNamesThatBreakLinesOrTerminals) {
  expect_refused(GgufBytes().string("a\nb", "x").str(), ErrorCode::corrupt_file, "control character");
  expect_refused(GgufBytes().tensor("\x1b[2Jt", {4}, TensorType::F32).str(), ErrorCode::corrupt_file,
                 "control character");
  expect_refused(GgufBytes().string(std::string(70000, 'k'), "x").str(), ErrorCode::corrupt_file,
                 "at most 65535");
  expect_refused(GgufBytes().tensor(std::string(2000, 't'), {4}, TensorType::F32).str(),
                 ErrorCode::corrupt_file, "at most 1024");
}

TEST(GgufFile, RefusesDeepNesting) {
  std::string payload = GgufBytes::array_payload(ValueType::u8, 1, "x");
  for (int i = 0; i < 3; ++i) payload = GgufBytes::array_payload(ValueType::array, 1, payload);
  EXPECT_EQ(error_of(GgufBytes().raw_entry("deep", 9, payload).str()), "");
  for (int i = 0; i < 100; ++i) payload = GgufBytes::array_payload(ValueType::array, 1, payload);
  expect_refused(GgufBytes().raw_entry("deep", 9, payload).str(), ErrorCode::corrupt_file, "nests arrays");
}

TEST(GgufFile, ReportsFilesThatCannotBeOpened) {
  const TemporaryFolder folder;
  EXPECT_EQ(File::open(folder / "absent.gguf").error().code, ErrorCode::not_found);
  EXPECT_EQ(File::open(folder.path()).error().code, ErrorCode::invalid_argument);
  write_file(folder / "empty.gguf", "");
  EXPECT_EQ(File::open(folder / "empty.gguf").error().code, ErrorCode::corrupt_file);
}

TEST(GgufFile, OpensAFileThatOutlivesItsName) {
  const TemporaryFolder folder;
  write_file(folder / "m.gguf",
             GgufBytes().string("general.name", "m").tensor("t", {8}, TensorType::F32, 'z').str());
  auto opened = File::open(folder / "m.gguf");
  ASSERT_TRUE(opened) << opened.error().message;
  std::filesystem::remove(folder / "m.gguf");
  const File file = std::move(*opened);
  EXPECT_EQ(file.string("general.name").value(), "m");
  EXPECT_EQ(static_cast<char>(file.tensor("t")->data[31]), 'z');
  EXPECT_EQ(file.mappings().size(), 1u);
}

}  // namespace
}  // namespace mullama::gguf
