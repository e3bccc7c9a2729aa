// What has gone wrong in other programs that read GGUF files, each row as a test named after it.

#include <ctime>
#include <gtest/gtest.h>
#include <random>
#include <sys/resource.h>

#include "gguf/file.hpp"
#include "gguf/gguf_bytes.hpp"

namespace mullama::gguf {
namespace {

void expect_refused(const std::string& bytes, std::string_view part) {
  const auto file = File::parse(bytes_of(bytes), "t.gguf");
  ASSERT_FALSE(file) << "accepted; expected: " << part;
  EXPECT_EQ(file.error().code, ErrorCode::corrupt_file) << file.error().message;
  EXPECT_NE(file.error().message.find(part), std::string::npos)
      << file.error().message << "\nlacks: " << part;
}

// Offsets and sizes beyond the file let whoever reads the tensor read the heap behind it.
TEST(Threats, CVE_2026_7482_TensorBeyondFile) {
  const std::string data(1024, 'x');
  expect_refused(GgufBytes().raw_tensor("t", {257}, 0, 0).data(data).str(),
                 "'t' of 1028 bytes at offset 0 reaches beyond");
  expect_refused(GgufBytes().raw_tensor("t", {1}, 0, 1024).data(data).str(), "reaches beyond the file");
  expect_refused(GgufBytes().raw_tensor("t", {1}, 0, 1ull << 40).data(data).str(), "reaches beyond the file");
  expect_refused(GgufBytes().raw_tensor("t", {1024, 1024, 1024}, 0, 0).data(data).str(),
                 "reaches beyond the file");
  expect_refused(GgufBytes().raw_tensor("t", {1}, 0, 0).str(), "before its tensor data");
}

// Elements times type size, running totals, and the padding up to the alignment.
TEST(Threats, GHSA_SizeArithmeticWraps) {
  const std::string data(1024, 'x');
  expect_refused(GgufBytes().raw_tensor("t", {1ull << 32, 1ull << 32}, 0, 0).data(data).str(),
                 "impossible size");
  expect_refused(GgufBytes().raw_tensor("t", {1ull << 62, 2, 2}, 0, 0).data(data).str(), "impossible size");
  expect_refused(GgufBytes().raw_tensor("t", {1ull << 62}, 0, 0).data(data).str(), "overflows");
  expect_refused(GgufBytes().raw_tensor("t", {UINT64_MAX}, 0, 0).data(data).str(), "impossible size");
  expect_refused(GgufBytes().raw_tensor("t", {(1ull << 62) + 256}, 14, 0).data(data).str(), "reaches beyond");
  for (const uint64_t offset : {uint64_t{0} - 32, uint64_t{0} - 64, uint64_t{1} << 63}) {
    expect_refused(GgufBytes().raw_tensor("t", {64}, 0, offset).data(data).str(), "reaches beyond");
  }
  // Padding: the aligned start of the data lies beyond a file that ends right after its header.
  GgufBytes padded;
  padded.number<uint32_t>("general.alignment", ValueType::u32, 1u << 20).raw_tensor("t", {1}, 0, 0);
  expect_refused(padded.str(), "before its tensor data");
  // Many tensors whose sizes add up past 2^64 share one small file.
  GgufBytes many;
  for (int i = 0; i < 100; ++i) many.raw_tensor(fmt::format("t{}", i), {256}, 0, 0);
  expect_refused(many.data(data).str(), "overlap");
}

TEST(Threats, AbsurdAlignment) {
  for (const uint32_t value : {0u, 3u, 48u, (1u << 20) + 1, 1u << 21, 1u << 31, UINT32_MAX}) {
    expect_refused(GgufBytes()
                       .number<uint32_t>("general.alignment", ValueType::u32, value)
                       .tensor("t", {4}, TensorType::F32)
                       .str(),
                   fmt::format("'general.alignment' is {}", value));
  }
  expect_refused(GgufBytes().string("general.alignment", "32").str(), "of type string");
  expect_refused(GgufBytes().number<uint64_t>("general.alignment", ValueType::u64, 32).str(), "of type u64");
  expect_refused(GgufBytes().number<int32_t>("general.alignment", ValueType::i32, -32).str(), "of type i32");
  expect_refused(GgufBytes().array("general.alignment", ValueType::u32, 1, GgufBytes::encode(32u)).str(),
                 "of type array");
}

TEST(Threats, HugeLengthsInMetadata) {
  for (const uint64_t count :
       {1ull << 20, 1ull << 40, 1ull << 63, static_cast<unsigned long long>(UINT64_MAX)}) {
    expect_refused(GgufBytes().entry_count(count).str(), "metadata entries");
    expect_refused(GgufBytes().tensor_count(count).str(), "tensors");
    expect_refused(GgufBytes().raw_entry("s", 8, GgufBytes::encode(count) + "abc").str(), "'s' declares");
    expect_refused(GgufBytes().array("a", ValueType::u8, count, "abc").str(), "'a' declares");
    expect_refused(GgufBytes().array("a", ValueType::u64, count, "abcdefgh").str(), "'a' declares");
    expect_refused(GgufBytes().array("a", ValueType::string, count, GgufBytes::text("x")).str(),
                   "'a' declares");
    expect_refused(GgufBytes().array("a", ValueType::array, count, "abcdefghijkl").str(), "'a' declares");
    std::string key_length = GgufBytes().entry_count(1).str() + GgufBytes::encode(count) + "some bytes";
    expect_refused(key_length, "the key of metadata entry 0 declares");
  }
}

// A limit on lengths must not make reading slow: 8 MB of short strings take milliseconds.
TEST(Threats, HugeArraysAreReadInLinearTime) {
  std::string strings;
  const uint64_t count = 1'000'000;
  for (uint64_t i = 0; i < count; ++i) strings += GgufBytes::text("");
  const std::string text = GgufBytes().array("tokens", ValueType::string, count, strings).str();
  const std::clock_t begin = std::clock();
  const auto file = File::parse(bytes_of(text), "t.gguf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_LT(std::clock() - begin, 2 * CLOCKS_PER_SEC);
  EXPECT_EQ(file->find("tokens")->count(), count);
}

// Token texts are strings of the file: a length that lies never leaves the reader.
TEST(Threats, CVE_2025_49847_TokenLengthIsTrusted) {
  const std::string token = GgufBytes::text("ok") + GgufBytes::encode<uint64_t>(INT64_MAX) + "boom";
  expect_refused(GgufBytes().array("tokenizer.ggml.tokens", ValueType::string, 2, token).str(),
                 "'tokenizer.ggml.tokens' declares 9223372036854775807 bytes");
  const std::string negative = GgufBytes::text("ok") + GgufBytes::encode<int64_t>(-1) + "boom";
  expect_refused(GgufBytes().array("tokenizer.ggml.tokens", ValueType::string, 2, negative).str(),
                 "declares");
}

TEST(Threats, ZeroSizedTensors) {
  expect_refused(GgufBytes().raw_tensor("t", {0}, 0, 0).data("xxxx").str(), "impossible size 0");
  expect_refused(GgufBytes().raw_tensor("t", {32, 0, 4}, 2, 0).data("xxxx").str(), "impossible size 0");
}

std::string small_model() {
  GgufBytes bytes;
  bytes.string("general.architecture", "llama")
      .number<uint32_t>("llama.block_count", ValueType::u32, 2)
      .number<float>("llama.rope.freq_base", ValueType::f32, 10000.f);
  std::string tokens;
  for (int i = 0; i < 50; ++i) tokens += GgufBytes::text(fmt::format("token{}", i));
  bytes.array("tokenizer.ggml.tokens", ValueType::string, 50, tokens);
  for (int i = 0; i < 8; ++i) bytes.tensor(fmt::format("blk.{}.weight", i), {64, 4}, TensorType::Q8_0, 'w');
  return bytes.str();
}

// A file that is cut anywhere is refused at opening, before a page beyond its end can be touched.
TEST(Threats, FileCutAnywhereGivesAClearError) {
  const std::string whole = small_model();
  ASSERT_TRUE(File::parse(bytes_of(whole), "t.gguf"));
  std::mt19937_64 random(7);
  const TemporaryFolder folder;
  for (int i = 0; i < 200; ++i) {
    const size_t length = random() % whole.size();
    write_file(folder / "cut.gguf", whole.substr(0, length));
    const auto file = File::open(folder / "cut.gguf");
    ASSERT_FALSE(file) << "accepted a file cut to " << length << " of " << whole.size() << " bytes";
    EXPECT_EQ(file.error().code, ErrorCode::corrupt_file);
    EXPECT_GT(file.error().message.size(), 40u) << file.error().message;
    EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
  }
}

// Flipped bytes give a file that is read or an error; the sanitizer builds prove that nothing else happens.
TEST(Threats, FlippedBytesAreReadOrRefused) {
  const std::string whole = small_model();
  std::mt19937_64 random(11);
  size_t refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    for (int k = 0; k < 3; ++k) bytes[random() % 1500] = static_cast<char>(random());
    const auto file = File::parse(bytes_of(bytes), "t.gguf");
    if (!file) {
      ++refused;
      continue;
    }
    for (const TensorInfo& tensor : file->tensors()) {
      ASSERT_LE(tensor.offset + tensor.bytes, bytes.size());
    }
  }
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace mullama::gguf
