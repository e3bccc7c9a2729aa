#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "base/half.hpp"
#include "quant/blocks.hpp"
#include "quant/format.hpp"

namespace mullama::quant {
namespace {

using gguf::TensorType;

std::vector<std::byte> read_fixture() {
  const char* root = std::getenv("MULLAMA_TEST_SOURCE_DIR");
  EXPECT_NE(root, nullptr) << "run by ctest, which sets MULLAMA_TEST_SOURCE_DIR";
  if (root == nullptr) return {};
  std::ifstream in(std::filesystem::path(root) / "tests/quant/data/blocks.bin", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// The fixture holds random blocks of every type and the floats that the gguf package for Python makes of
// them.
TEST(Dequantize, EqualsTheReferenceBitForBitOnRandomBlocks) {
  const std::vector<std::byte> fixture = read_fixture();
  ASSERT_GT(fixture.size(), 4u);
  ASSERT_EQ(std::memcmp(fixture.data(), "MQGB", 4), 0);
  size_t at = 4;
  size_t types = 0;
  size_t finite = 0;
  while (at < fixture.size()) {
    uint32_t header[4];
    ASSERT_LE(at + sizeof(header), fixture.size());
    std::memcpy(header, fixture.data() + at, sizeof(header));
    at += sizeof(header);
    const auto type = gguf::tensor_type_from_id(header[0]);
    ASSERT_TRUE(type) << header[0];
    const Format& entry = format(*type);
    ASSERT_EQ(entry.block_values, header[2]);
    ASSERT_EQ(entry.block_bytes, header[3]);
    const size_t values = size_t{header[1]} * header[2];
    const size_t block_bytes = size_t{header[1]} * header[3];
    ASSERT_LE(at + block_bytes + values * sizeof(float), fixture.size());
    std::vector<float> expected(values);
    std::memcpy(expected.data(), fixture.data() + at + block_bytes, values * sizeof(float));

    // The copy starts at an odd address: tensor data may be aligned to nothing.
    std::vector<std::byte> blocks(block_bytes + 1);
    std::memcpy(blocks.data() + 1, fixture.data() + at, block_bytes);
    std::vector<float> actual(values);
    dequantize_row(*type, blocks.data() + 1, actual.data(), values);
    for (size_t i = 0; i < values; ++i) {
      if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(actual[i])) << gguf::name(*type) << " value " << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
            << gguf::name(*type) << " value " << i << ": " << actual[i] << " instead of " << expected[i];
        ++finite;
      }
    }
    at += block_bytes + values * sizeof(float);
    ++types;
  }
  EXPECT_EQ(types, gguf::tensor_types().size());
  EXPECT_GT(finite, 15000u);
}

TEST(Dequantize, WidensEveryHalf) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> floats(halves.size());
  dequantize_row(TensorType::F16, reinterpret_cast<const std::byte*>(halves.data()), floats.data(),
                 floats.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), std::bit_cast<uint32_t>(half_to_float(halves[i]))) << i;
    if (!std::isnan(floats[i])) {
      ASSERT_EQ(float_to_half(floats[i]), halves[i]);
    }
  }
}

TEST(Dequantize, TableAgreesWithTensorTypes) {
  ASSERT_EQ(formats().size(), gguf::tensor_types().size());
  for (size_t i = 0; i < formats().size(); ++i) {
    EXPECT_EQ(formats()[i].type, gguf::tensor_types()[i].type);
    EXPECT_EQ(formats()[i].block_values, gguf::tensor_types()[i].block_values);
    EXPECT_EQ(formats()[i].block_bytes, gguf::tensor_types()[i].block_bytes);
    EXPECT_NE(formats()[i].dequantize, nullptr);
  }
}

}  // namespace
}  // namespace mullama::quant
