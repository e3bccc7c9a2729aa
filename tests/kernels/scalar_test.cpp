// The scalar table against references in double precision.
#include <algorithm>
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numbers>

#include "base/half.hpp"
#include "kernels/aligned.hpp"
#include "kernels/kernels.hpp"
#include "kernels/random_data.hpp"
#include "quant/format.hpp"

namespace mullama::kernels::testing {
namespace {

const KernelTable& scalar() {
  return **select_kernels("scalar");
}

std::vector<ActivationBlock> quantized(const std::vector<float>& x) {
  std::vector<ActivationBlock> out(x.size() / 32);
  scalar().quantize_row(x.data(), out.data(), static_cast<uint32_t>(x.size()));
  return out;
}

TEST(ScalarKernels, QuantizesWithinHalfAStepAndSumsExactly) {
  Random random(1);
  const std::vector<float> x = random.activations(32 * 50);
  const auto blocks = quantized(x);
  for (size_t b = 0; b < blocks.size(); ++b) {
    float peak = 0;
    for (size_t i = 0; i < 32; ++i) peak = std::max(peak, std::fabs(x[b * 32 + i]));
    EXPECT_EQ(blocks[b].scale, peak / 127.0f);
    int halves[2] = {0, 0};
    for (size_t i = 0; i < 32; ++i) {
      EXPECT_LE(std::fabs(blocks[b].scale * blocks[b].q[i] - x[b * 32 + i]), blocks[b].scale * 0.5001f);
      halves[i / 16] += blocks[b].q[i];
    }
    EXPECT_EQ(blocks[b].q_half_sum[0], halves[0]);
    EXPECT_EQ(blocks[b].q_half_sum[1], halves[1]);
    EXPECT_EQ(blocks[b].q_sum, halves[0] + halves[1]);
    EXPECT_EQ(blocks[b].sum, blocks[b].scale * static_cast<float>(blocks[b].q_sum));
  }
}

TEST(ScalarKernels, QuantizesZerosAndTinyValuesToZero) {
  for (const float value : {0.0f, -0.0f, 1e-38f}) {
    const auto blocks = quantized(std::vector<float>(32, value));
    EXPECT_EQ(blocks[0].scale, 0.0f);
    for (const int8_t q : blocks[0].q) EXPECT_EQ(q, 0);
  }
}

TEST(ScalarKernels, MatrixProductsMatchDequantizedWeights) {
  Random random(2);
  constexpr uint32_t kRows = 19;
  constexpr uint32_t kColumns = 3;
  for (const TypeLayout& layout : kTypeLayouts) {
    SCOPED_TRACE(layout.name);
    const auto type = static_cast<gguf::TensorType>(layout.id);
    const uint32_t cols = layout.values == 256 ? 768 : layout.values == 32 ? 416 : 77;
    const size_t row_bytes = size_t{cols} / layout.values * layout.bytes;
    const auto weights = random_weights(layout, kRows * (cols / layout.values), random);
    const auto x = random.activations(size_t{cols} * kColumns);
    const auto bias = random.activations(kRows);
    std::vector<double> input(x.begin(), x.end());
    std::vector<ActivationBlock> blocks;
    std::vector<uint16_t> rounded;
    if (input_form(type) == InputForm::bfloats) {
      rounded.resize(x.size());
      scalar().round_row(x.data(), rounded.data(), static_cast<uint32_t>(x.size()));
      for (size_t i = 0; i < x.size(); ++i) {
        input[i] = double{std::bit_cast<float>(uint32_t{rounded[i]} << 16)};
        EXPECT_NEAR(input[i], x[i], std::fabs(x[i]) * 0x1p-8) << i;
      }
    } else if (input_form(type) == InputForm::blocks) {
      blocks = quantized(x);
      for (size_t i = 0; i < x.size(); ++i)
        input[i] = double{blocks[i / 32].scale} * blocks[i / 32].q[i % 32];
    }
    const AlignedBytes workspace(matmul_workspace_bytes(cols));
    std::vector<float> out(kRows * kColumns, 3.0f);
    MatmulArgs args{};
    args.weight = {layout.id, kRows, cols, row_bytes, weights.data()};
    if (!blocks.empty()) {
      args.input = blocks.data();
      args.input_stride = cols / 32 * sizeof(ActivationBlock);
    } else if (!rounded.empty()) {
      args.input = rounded.data();
      args.input_stride = cols * sizeof(uint16_t);
    } else {
      args.input = x.data();
      args.input_stride = cols * sizeof(float);
    }
    args.columns = kColumns;
    args.row_end = kRows;
    args.bias = bias.data();
    args.output_scale = 0.5f;
    args.accumulate = true;
    args.output = out.data();
    args.output_stride = kRows;
    args.workspace = workspace.data();
    scalar().matmul(args);
    std::vector<float> row(cols);
    for (uint32_t r = 0; r < kRows; ++r) {
      quant::dequantize_row(type, reinterpret_cast<const std::byte*>(weights.data()) + r * row_bytes,
                            row.data(), cols);
      for (uint32_t c = 0; c < kColumns; ++c) {
        double dot = bias[r];
        double size = std::fabs(dot);
        for (uint32_t i = 0; i < cols; ++i) {
          dot += row[i] * input[c * cols + i];
          size += std::fabs(row[i] * input[c * cols + i]);
        }
        EXPECT_NEAR(out[c * kRows + r], 3.0 + 0.5 * dot, 1e-6 * size + 1e-30)
            << "row " << r << " column " << c;
      }
    }
  }
}

TEST(ScalarKernels, RmsNormMatchesDoublePrecision) {
  Random random(3);
  for (const uint32_t n : {1u, 16u, 31u, 576u, 2049u}) {
    const auto x = random.activations(n);
    const auto weight = random.activations(n);
    std::vector<float> out(n);
    double squares = 0;
    for (const float v : x) squares += double{v} * v;
    const double factor = 1.0 / std::sqrt(squares / n + 1e-5);
    scalar().rms_norm(x.data(), weight.data(), 1e-5f, out.data(), n);
    for (uint32_t i = 0; i < n; ++i)
      EXPECT_NEAR(out[i], x[i] * factor * weight[i], 2e-6 * std::fabs(out[i]) + 1e-30);
    scalar().rms_norm(x.data(), nullptr, 1e-5f, out.data(), n);
    for (uint32_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i] * factor, 2e-6 * std::fabs(out[i]) + 1e-30);
  }
}

TEST(ScalarKernels, RopeRotatesPairsOfBothOrders) {
  Random random(4);
  for (const uint32_t half : {1u, 7u, 8u, 20u, 32u, 48u}) {
    const auto x = random.activations(2 * half);
    std::vector<float> cosine(half);
    std::vector<float> sine(half);
    for (uint32_t i = 0; i < half; ++i) {
      cosine[i] = static_cast<float>(std::cos(0.37 * i));
      sine[i] = static_cast<float>(std::sin(0.37 * i));
    }
    for (const bool neox : {false, true}) {
      auto out = x;
      scalar().rope(out.data(), cosine.data(), sine.data(), half, neox);
      for (uint32_t i = 0; i < half; ++i) {
        const uint32_t a = neox ? i : 2 * i;
        const uint32_t b = neox ? i + half : 2 * i + 1;
        EXPECT_NEAR(out[a], double{x[a]} * cosine[i] - double{x[b]} * sine[i], 1e-5);
        EXPECT_NEAR(out[b], double{x[a]} * sine[i] + double{x[b]} * cosine[i], 1e-5);
      }
    }
  }
}

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

TEST(ScalarKernels, ActivationsMatchDoublePrecision) {
  std::vector<float> gate;
  std::vector<float> up;
  for (int i = -900; i <= 900; ++i) {
    gate.push_back(static_cast<float>(i) * 0.1f);
    up.push_back(static_cast<float>((i * 7919) % 200) * 0.1f);
  }
  const auto n = static_cast<uint32_t>(gate.size());
  std::vector<float> out(n);
  const auto check = [&](Activation activation, auto expected) {
    scalar().gated(activation, gate.data(), up.data(), out.data(), n);
    for (uint32_t i = 0; i < n; ++i) {
      const double want = expected(double{gate[i]}, double{up[i]});
      // The argument of exp is rounded: an error of up to 87 * 2^-24.
      EXPECT_NEAR(out[i], want, 8e-6 * std::fabs(want) + 1e-30) << "gate " << gate[i] << " up " << up[i];
    }
  };
  check(Activation::silu, [](double g, double u) { return g < -87 ? 0.0 : g * sigmoid(g) * u; });
  check(Activation::swiglu_oai, [](double g, double u) {
    const double low = std::min(g, 7.0);
    return low * 1.702 < -87 ? 0.0 : low * sigmoid(1.702 * low) * (std::clamp(u, -7.0, 7.0) + 1.0);
  });
  scalar().gated(Activation::gelu_tanh, gate.data(), up.data(), out.data(), n);
  for (uint32_t i = 0; i < n; ++i) {
    const double g = gate[i];
    const double inner = std::sqrt(2.0 / std::numbers::pi) * (g + 0.044715 * g * g * g);
    const double want = 0.5 * g * (1.0 + std::tanh(inner)) * up[i];
    // The far tail is a difference of nearly equal numbers in any formula.
    EXPECT_NEAR(out[i], want, 4e-6 * std::fabs(want) + 1e-6) << "gate " << g;
  }
}

TEST(ScalarKernels, SoftcapMatchesTanh) {
  std::vector<float> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<float>(i) * 0.05f);
  for (const float tiny : {1e-30f, 1e-6f, -1e-3f, 0.0f}) x.push_back(tiny);
  auto out = x;
  scalar().softcap(out.data(), 30.0f, static_cast<uint32_t>(out.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = 30.0 * std::tanh(double{x[i]} / 30.0);
    EXPECT_NEAR(out[i], want, 3e-7 * std::fabs(want)) << x[i];
  }
}

TEST(ScalarKernels, SoftmaxSumsToOneAndIgnoresMinusInfinity) {
  Random random(5);
  for (const uint32_t n : {1u, 5u, 16u, 100u, 50257u}) {
    auto x = random.activations(n);
    if (n > 4) x[3] = -std::numeric_limits<float>::infinity();
    auto out = x;
    scalar().softmax(out.data(), n);
    double total = 0;
    const double peak = *std::max_element(x.begin(), x.end());
    for (const float v : x) total += std::exp(v - peak);
    double sum = 0;
    for (uint32_t i = 0; i < n; ++i) {
      const double want = std::exp(x[i] - peak) / total;
      EXPECT_NEAR(out[i], want, 1e-5 * want + 1e-37);
      sum += out[i];
    }
    EXPECT_NEAR(sum, 1.0, 1e-5);
  }
}

TEST(ScalarKernels, HadamardIsOrthonormalAndItsOwnInverse) {
  Random random(6);
  for (uint32_t n = 1; n <= 512; n *= 2) {
    const auto x = random.activations(n);
    auto out = x;
    scalar().hadamard(out.data(), n);
    for (uint32_t i = 0; i < n; ++i) {
      double want = 0;
      for (uint32_t j = 0; j < n; ++j) want += (std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0) * x[j];
      EXPECT_NEAR(out[i], want / std::sqrt(static_cast<double>(n)), 1e-4);
    }
    scalar().hadamard(out.data(), n);
    for (uint32_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i], 1e-4);
  }
}

TEST(ScalarKernels, AddScaledAndScale) {
  Random random(7);
  const auto x = random.activations(37);
  auto y = random.activations(37);
  const auto before = y;
  scalar().add_scaled(y.data(), x.data(), 0.3f, 37);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], before[i] + 0.3 * x[i], 1e-5);
  scalar().scale(y.data(), 2.0f, 37);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], 2 * (before[i] + 0.3 * x[i]), 1e-5);
}

TEST(KernelSelection, NamesAndRefusals) {
  EXPECT_STREQ((*select_kernels("scalar"))->isa, "scalar");
  EXPECT_EQ(*select_kernels(""), runnable_kernels().back());
  const auto unknown = select_kernels("mmx");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("choose one of scalar"), std::string::npos)
      << unknown.error().message;
  for (const KernelTable* table : runnable_kernels()) EXPECT_EQ(*select_kernels(table->isa), table);
}

TEST(KvTypes, NamesAndRowBytes) {
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0"}) {
    EXPECT_EQ(kv_type_name(*kv_type_from_name(name)), name);
  }
  EXPECT_FALSE(kv_type_from_name("q5_0").has_value());
  EXPECT_EQ(kv_row_bytes(KvType::f32, 80), 320u);
  EXPECT_EQ(kv_row_bytes(KvType::bf16, 80), 160u);
  EXPECT_EQ(kv_row_bytes(KvType::q8_0, 128), 136u);
  EXPECT_EQ(kv_row_bytes(KvType::q4_0, 128), 72u);
  EXPECT_EQ(kv_row_bytes(KvType::q4_0, 80), 0u);
}

}  // namespace
}  // namespace mullama::kernels::testing
