#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "base/half.hpp"
#include "quant/format.hpp"

namespace mullama::quant {
namespace {

using gguf::TensorType;

std::vector<float> round_trip(TensorType type, const std::vector<float>& in,
                              const float* importance = nullptr) {
  const Format& entry = format(type);
  std::vector<std::byte> blocks(in.size() / entry.block_values * entry.block_bytes);
  entry.quantize(in.data(), importance, blocks.data(), in.size());
  std::vector<float> out(in.size());
  entry.dequantize(blocks.data(), out.data(), out.size());
  return out;
}

double relative_error(const std::vector<float>& in, const std::vector<float>& out,
                      const std::vector<float>& weight = {}) {
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const double w = weight.empty() ? 1.0 : weight[i];
    error += w * std::pow(static_cast<double>(out[i]) - in[i], 2);
    power += w * std::pow(static_cast<double>(in[i]), 2);
  }
  return std::sqrt(error / power);
}

std::vector<float> gaussian(size_t count, float deviation, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Weights of real models have heavier tails than a Gaussian: here every value has its own deviation.
std::vector<float> heavy_tailed(size_t count) {
  std::mt19937_64 random(2);
  std::normal_distribution<float> normal(0, 0.02f);
  std::chi_squared_distribution<float> chi(4);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random) / std::sqrt(chi(random) / 4);
  return values;
}

struct Reference {
  TensorType type;
  double gaussian;      // Relative RMS errors of llama.cpp's quantizers on such data (b6000 and later),
  double heavy_tailed;  // measured without importance weights.
};

constexpr Reference kReferences[] = {
    {TensorType::Q8_0, 0.00535, 0.00739},   {TensorType::Q6_K, 0.01778, 0.02304},
    {TensorType::Q5_K, 0.03613, 0.04394},   {TensorType::Q5_1, 0.03785, 0.04553},
    {TensorType::Q5_0, 0.04270, 0.05882},   {TensorType::Q4_K, 0.07137, 0.08711},
    {TensorType::IQ4_NL, 0.07618, 0.09428}, {TensorType::Q4_1, 0.07826, 0.09380},
    {TensorType::Q4_0, 0.08600, 0.11693},   {TensorType::Q3_K, 0.15098, 0.18352},
    {TensorType::Q2_K, 0.29670, 0.34231},
};

TEST(Quantize, ErrorIsNotAboveTheBestKnown) {
  const auto normal = gaussian(1 << 18, 0.02f);
  const auto heavy = heavy_tailed(1 << 18);
  for (const Reference& reference : kReferences) {
    const double normal_error = relative_error(normal, round_trip(reference.type, normal));
    const double heavy_error = relative_error(heavy, round_trip(reference.type, heavy));
    EXPECT_LT(normal_error, reference.gaussian * 1.005) << gguf::name(reference.type);
    EXPECT_LT(heavy_error, reference.heavy_tailed * 1.03) << gguf::name(reference.type);
    EXPECT_GT(normal_error, reference.gaussian * 0.8)
        << gguf::name(reference.type) << ": too good to be true";
  }
}

TEST(Quantize, HalvesRoundToNearest) {
  const auto in = gaussian(4096, 3);
  const auto half = round_trip(TensorType::F16, in);
  const auto bfloat = round_trip(TensorType::BF16, in);
  const auto single = round_trip(TensorType::F32, in);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(half[i], half_to_float(float_to_half(in[i])));
    EXPECT_EQ(bfloat[i], bfloat_to_float(float_to_bfloat(in[i])));
    EXPECT_EQ(single[i], in[i]);
  }
}

// What a block can hold exactly must come back exactly, else converting between files would drift.
TEST(Quantize, KeepsValuesThatFitTheFormat) {
  std::mt19937_64 random(3);
  for (const auto& [type, low, high] : {std::tuple{TensorType::Q8_0, -127, 127},
                                        {TensorType::Q4_0, -8, 7},
                                        {TensorType::Q5_0, -16, 15},
                                        {TensorType::Q4_1, 0, 15},
                                        {TensorType::Q5_1, 0, 31}}) {
    std::uniform_int_distribution<int> level(low, high);
    std::vector<float> in(32 * 64);
    for (size_t i = 0; i < in.size(); ++i) {
      in[i] = 0.0625f * static_cast<float>(i % 32 == 0 ? low : i % 32 == 1 ? high : level(random));
    }
    EXPECT_EQ(round_trip(type, in), in) << gguf::name(type);
  }
}

TEST(Quantize, ImportanceMovesErrorAwayFromWhatMatters) {
  const auto in = gaussian(1 << 16, 0.02f);
  std::vector<float> importance(in.size());
  for (size_t i = 0; i < in.size(); ++i) importance[i] = i % 16 < 4 ? 20.0f : 0.2f;
  for (const TensorType type :
       {TensorType::Q4_0, TensorType::Q4_1, TensorType::Q5_0, TensorType::IQ4_NL, TensorType::Q2_K,
        TensorType::Q3_K, TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K}) {
    const double plain = relative_error(in, round_trip(type, in), importance);
    const double weighted = relative_error(in, round_trip(type, in, importance.data()), importance);
    EXPECT_LT(weighted, plain * 0.99) << gguf::name(type);
  }
  const std::vector<float> none(in.size(), 0.0f);
  EXPECT_EQ(round_trip(TensorType::Q4_K, in, none.data()), round_trip(TensorType::Q4_K, in));
}

TEST(Quantize, SurvivesBlocksOfEveryMagnitude) {
  for (const Format& entry : formats()) {
    if (entry.quantize == nullptr) continue;
    const bool wide = entry.type == TensorType::F32 || entry.type == TensorType::BF16;
    for (const float size : {0.0f, 1e-45f, 1e-38f, 1e-20f, 1e-7f, 1e-3f, 1.0f, 6e4f, 1e10f, 3e38f}) {
      auto in = gaussian(512, 1, 5);
      for (float& value : in) value = std::clamp(value, -1.0f, 1.0f) * size;
      in[7] = size;
      const auto out = round_trip(entry.type, in);
      for (size_t i = 0; i < in.size(); ++i) {
        ASSERT_TRUE(std::isfinite(out[i])) << gguf::name(entry.type) << " of size " << size;
      }
      if (size == 0.0f) {
        EXPECT_EQ(relative_error(std::vector<float>(512, 1.0f), out), 1.0) << gguf::name(entry.type);
      } else if ((size >= 1e-3f && size <= 6e4f) || wide) {
        const double limit = entry.type == TensorType::Q2_K ? 0.4 : 0.2;
        EXPECT_LT(relative_error(in, out), size < 1e-37f ? 1.1 : limit)
            << gguf::name(entry.type) << " of size " << size;
      }
    }
  }
}

TEST(Quantize, HandlesConstantAndOneSidedBlocks) {
  for (const Format& entry : formats()) {
    if (entry.quantize == nullptr) continue;
    for (const float value : {0.75f, -0.75f}) {
      const std::vector<float> constant(256, value);
      EXPECT_LT(relative_error(constant, round_trip(entry.type, constant)), 0.02)
          << gguf::name(entry.type) << value;
    }
    auto positive = gaussian(1024, 1, 6);
    for (float& value : positive) value = 1 + std::fabs(value);
    EXPECT_LT(relative_error(positive, round_trip(entry.type, positive)), 0.25) << gguf::name(entry.type);
    std::vector<float> spike(256, 0.0f);
    spike[100] = -3;
    // IQ4_NL has no level for zero.
    const double limit = entry.type == TensorType::IQ4_NL ? 0.05 : 0.01;
    EXPECT_LT(relative_error(spike, round_trip(entry.type, spike)), limit) << gguf::name(entry.type);
  }
}

}  // namespace
}  // namespace mullama::quant
