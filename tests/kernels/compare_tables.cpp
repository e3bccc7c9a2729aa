#include "kernels/compare_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/attend_case.hpp"
#include "kernels/random_data.hpp"
#include "kernels/sizes.hpp"

namespace mullama::kernels::testing {

namespace {

template <class T>
std::string first_difference(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return "sizes differ";
  if (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0) return {};
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return "at " + std::to_string(i) + " of " + std::to_string(a.size()) + ": " + std::to_string(a[i]) +
             " and " + std::to_string(b[i]);
    }
  }
  return {};
}

class Comparison {
 public:
  Comparison(const KernelTable& truth, const KernelTable& other) : truth_(truth), other_(other) {}

  std::string run() {
    quantize();
    round();
    rows();
    for (const TypeLayout& layout : kTypeLayouts) products(layout);
    stores();
    attention();
    return report_;
  }

 private:
  /// Keeps the first difference of each kind of check.
  void note(const std::string& what, const std::string& shape, const std::string& difference) {
    if (difference.empty() || report_.find("\n" + what + ":") != std::string::npos) return;
    report_ += "\n" + what + ": " + shape + ": " + difference;
  }

  template <class T>
  void expect_equal(const std::string& what, const std::string& shape, const std::vector<T>& a,
                    const std::vector<T>& b) {
    note(what, shape, first_difference(a, b));
  }

  void quantize() {
    for (const uint32_t n : {32u, 64u, 1024u}) {
      auto x = random_.activations(n);
      x[3] = 0.0f;
      if (n == 64) std::memset(x.data() + 32, 0, 32 * sizeof(float));
      std::vector<uint8_t> a(n / 32 * sizeof(ActivationBlock), 1);
      std::vector<uint8_t> b(n / 32 * sizeof(ActivationBlock), 2);
      truth_.quantize_row(x.data(), reinterpret_cast<ActivationBlock*>(a.data()), n);
      other_.quantize_row(x.data(), reinterpret_cast<ActivationBlock*>(b.data()), n);
      expect_equal("quantize_row", std::to_string(n), a, b);
    }
  }

  void round() {
    for (const uint32_t n : {1u, 15u, 16u, 77u, 1024u}) {
      auto x = random_.activations(n);
      x[n / 2] = n % 2 == 0 ? 0x1.018p0f : 0x1p-130f;
      std::vector<uint16_t> a(n, 1);
      std::vector<uint16_t> b(n, 2);
      truth_.round_row(x.data(), a.data(), n);
      other_.round_row(x.data(), b.data(), n);
      expect_equal("round_row", std::to_string(n), a, b);
    }
  }

  /// Applies one function of each table to copies of the same numbers.
  void each_row(const std::string& what, uint32_t n, const std::vector<float>& x,
                const std::function<void(const KernelTable&, float*)>& apply) {
    auto a = x;
    auto b = x;
    apply(truth_, a.data());
    apply(other_, b.data());
    expect_equal(what, std::to_string(n), a, b);
  }

  void rows() {
    std::vector<uint32_t> sizes;
    for (uint32_t n = 1; n <= 70; ++n) sizes.push_back(n);
    for (const uint32_t n : {576u, 2049u, 4096u}) sizes.push_back(n);
    for (const uint32_t n : sizes) {
      const auto x = random_.activations(n);
      const auto y = random_.activations(n);
      std::vector<float> wide = x;
      for (float& v : wide) v *= 3.0f;
      each_row("rms_norm", n, x,
               [&](const KernelTable& t, float* p) { t.rms_norm(p, y.data(), 1e-6f, p, n); });
      each_row("rms_norm without weight", n, x,
               [&](const KernelTable& t, float* p) { t.rms_norm(p, nullptr, 1e-6f, p, n); });
      for (const Activation activation : {Activation::silu, Activation::gelu_tanh, Activation::swiglu_oai}) {
        each_row("gated " + std::to_string(static_cast<int>(activation)), n, wide,
                 [&](const KernelTable& t, float* p) { t.gated(activation, p, y.data(), p, n); });
      }
      each_row("add_scaled", n, x,
               [&](const KernelTable& t, float* p) { t.add_scaled(p, y.data(), 0.37f, n); });
      each_row("scale", n, x, [&](const KernelTable& t, float* p) { t.scale(p, 1.1f, n); });
      each_row("softcap", n, wide, [&](const KernelTable& t, float* p) { t.softcap(p, 30.0f, n); });
      each_row("softmax", n, wide, [&](const KernelTable& t, float* p) { t.softmax(p, n); });
      if ((n & (n - 1)) == 0) {
        each_row("hadamard", n, x, [&](const KernelTable& t, float* p) { t.hadamard(p, n); });
      }
      if (n % 2 == 0 && n <= 256) {
        const auto sine = random_.activations(n / 2);
        for (const bool neox : {false, true}) {
          each_row(neox ? "rope neox" : "rope", n, x,
                   [&](const KernelTable& t, float* p) { t.rope(p, y.data(), sine.data(), n / 2, neox); });
        }
      }
    }
  }

  void product(const TypeLayout& layout, uint32_t rows, uint32_t cols, uint32_t columns, uint32_t row_begin,
               uint32_t row_end, bool extras) {
    const bool quantized = layout.values > 1;
    const bool bfloats = layout.id == kBf16;
    // Rows apart from each other and off any alignment, as a file may have them.
    const size_t row_bytes =
        size_t{cols} / layout.values * layout.bytes + (layout.values > 1 && extras ? 6 : 0);
    const auto blocks = random_weights(layout, size_t{rows} * (cols / layout.values), random_);
    const size_t packed = size_t{cols} / layout.values * layout.bytes;
    std::vector<uint8_t> weights(row_bytes * (rows - 1) + packed, 0xff);
    for (uint32_t r = 0; r < rows; ++r)
      std::memcpy(weights.data() + r * row_bytes, blocks.data() + r * packed, packed);
    const auto x = random_.activations(size_t{cols} * columns);
    std::vector<ActivationBlock> input(quantized ? x.size() / 32 : 0);
    if (quantized) truth_.quantize_row(x.data(), input.data(), static_cast<uint32_t>(x.size()));
    std::vector<uint16_t> rounded(bfloats ? x.size() : 0);
    if (bfloats) truth_.round_row(x.data(), rounded.data(), static_cast<uint32_t>(x.size()));
    // Products around the least normal numbers, which this type takes for zero when they are smaller.
    for (size_t i = 0; i < rounded.size(); i += 5) rounded[i] &= 0x81ff;
    const auto bias = random_.activations(rows);
    const auto before = random_.activations(size_t{rows + 3} * columns);
    const AlignedBytes workspace(matmul_workspace_bytes(cols));
    MatmulArgs args{};
    args.weight = {layout.id, rows, cols, row_bytes, weights.data()};
    args.input = x.data();
    args.input_stride = cols * sizeof(float);
    if (quantized) {
      args.input = input.data();
      args.input_stride = cols / 32 * sizeof(ActivationBlock);
    } else if (bfloats) {
      args.input = rounded.data();
      args.input_stride = cols * sizeof(uint16_t);
    }
    args.columns = columns;
    args.row_begin = row_begin;
    args.row_end = row_end;
    args.bias = extras ? bias.data() : nullptr;
    args.output_scale = extras ? 0.7f : 1.0f;
    args.accumulate = extras;
    args.next = extras ? weights.data() : nullptr;
    args.asked = extras;
    args.output_stride = rows + 3;
    args.workspace = workspace.data();
    auto a = before;
    auto b = before;
    args.output = a.data();
    truth_.matmul(args);
    args.output = b.data();
    other_.matmul(args);
    expect_equal(std::string("matmul ") + layout.name,
                 std::to_string(rows) + "x" + std::to_string(cols) + " by " + std::to_string(columns) +
                     " rows " + std::to_string(row_begin) + ".." + std::to_string(row_end),
                 a, b);
  }

  void products(const TypeLayout& layout) {
    const uint32_t unit = layout.values;
    for (uint32_t columns = 1; columns <= 70; columns += columns < 10 ? 1 : 15) {
      const uint32_t rows = 1 + (columns * 7) % 50;
      const uint32_t cols = unit == 1 ? 1 + (columns * 37) % 90 : unit * (1 + columns % 5);
      product(layout, rows, cols, columns, 0, rows, columns % 2 == 0);
    }
    // More than a piece of columns, more than a panel of rows, parts of the rows.
    const uint32_t cols = unit == 1 ? 1090 : unit == 32 ? 32 * 19 : 256 * 5;
    product(layout, 70, cols, 1, 0, 70, false);
    product(layout, 70, cols, 5, 16, 61, true);
    product(layout, 16, cols, 66, 0, 16, false);
    product(layout, 3, unit == 1 ? 16 : unit, 515, 0, 3, false);
  }

  void stores() {
    for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
      for (const uint32_t dim : {32u, 64u, 96u, 256u}) {
        const AttendCase::Cache cache{type, type, dim, dim, 32, 40, dim};
        const AttendCase a(truth_, cache);
        const AttendCase b(other_, cache);
        const auto bytes = [](const AlignedBytes& x) {
          return std::vector<uint8_t>(x.data(), x.data() + x.size());
        };
        const std::string shape = std::string(kv_type_name(type)) + " dim " + std::to_string(dim);
        expect_equal("store_key", shape, bytes(a.key_bytes()), bytes(b.key_bytes()));
        expect_equal("store_value", shape, bytes(a.value_bytes()), bytes(b.value_bytes()));
      }
    }
  }

  void attend(const AttendCase::Cache& cache, AttendCase::Question question) {
    AttendCase a(truth_, cache);
    AttendCase b(other_, cache);
    const auto query = a.queries(question.tokens, question.group);
    question.first_position = cache.positions - question.tokens;
    question.scale = 0.11f;
    const std::string what = "attend " + std::string(kv_type_name(cache.key_type)) + " " +
                             std::string(kv_type_name(cache.value_type));
    const std::string shape = "dims " + std::to_string(cache.key_dim) + "/" +
                              std::to_string(cache.value_dim) + " group " + std::to_string(question.group) +
                              " tokens " + std::to_string(question.tokens) + " positions " +
                              std::to_string(cache.positions) + " window " + std::to_string(question.window);
    const auto expected = a.attend(query, question);
    expect_equal(what, shape, expected, b.attend(query, question));
    // Memory that a kernel must not read holds NaN.
    const bool finite =
        std::all_of(expected.begin(), expected.end(), [](float x) { return std::isfinite(x); });
    note(what, shape, finite ? "" : "not finite");
  }

  void attention() {
    const float sink = 0.4f;
    for (const KvType key : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
      for (const KvType value : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
        attend({key, value, 64, 96, 32, 77, 1}, {.tokens = 3, .group = 3});
      }
      for (uint32_t group = 1; group <= 8; ++group) {
        attend({key, key, 32 * group, 32 * (9 - group), 32, 20 + 11 * group, group},
               {.tokens = group % 3 + 1, .group = group});
      }
      attend({key, key, 64, 64, 64, 1100, 2}, {.tokens = 1, .group = 4});
      attend({key, key, 64, 64, 64, 1100, 3}, {.tokens = 40, .group = 1, .window = 90, .sink = &sink});
      attend({key, key, 128, 128, 32, 513, 4}, {.tokens = 2, .group = 2, .window = 1, .softcap = 20.0f});
      attend({key, key, 32, 32, 32, 65, 5}, {.tokens = 65, .group = 2, .softcap = 20.0f});
    }
    for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
      attend({type, type, 80, 100, 32, 45, 6}, {.tokens = 2, .group = 3});
      attend({type, type, 7, 9, 32, 45, 7}, {.tokens = 2, .group = 1});
    }
  }

  const KernelTable& truth_;
  const KernelTable& other_;
  Random random_{42};
  std::string report_;
};

}  // namespace

std::string compare_tables(const KernelTable& truth, const KernelTable& other) {
  return Comparison(truth, other).run();
}

}  // namespace mullama::kernels::testing
