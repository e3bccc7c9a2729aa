// Attention of the scalar table against a plain softmax in double precision, through pages, ranges and
// merges.
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/attend_case.hpp"
#include "kernels/kernels.hpp"

namespace mullama::kernels::testing {
namespace {

struct Shape {
  KvType key_type;
  KvType value_type;
  uint32_t key_dim;
  uint32_t value_dim;
  uint32_t group;
  uint32_t tokens;
  uint32_t context;  ///< Positions before the first query token.
  uint32_t window;
  float softcap;
  bool sink;
};

void check(const Shape& shape) {
  SCOPED_TRACE(std::string(kv_type_name(shape.key_type)) + "/" + std::string(kv_type_name(shape.value_type)) +
               " dims " + std::to_string(shape.key_dim) + "/" + std::to_string(shape.value_dim) + " tokens " +
               std::to_string(shape.tokens) + " after " + std::to_string(shape.context));
  const KernelTable& table = **select_kernels("scalar");
  AttendCase test(table, {.key_type = shape.key_type,
                          .value_type = shape.value_type,
                          .key_dim = shape.key_dim,
                          .value_dim = shape.value_dim,
                          .page_tokens = 32,
                          .positions = shape.context + shape.tokens,
                          .seed = 11});
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.key_dim));
  const auto query = test.queries(shape.tokens, shape.group);
  const float sink_value = 0.7f;
  const float* sink = shape.sink ? &sink_value : nullptr;
  const auto out = test.attend(query, {.tokens = shape.tokens,
                                       .group = shape.group,
                                       .first_position = shape.context,
                                       .window = shape.window,
                                       .scale = scale,
                                       .softcap = shape.softcap,
                                       .sink = sink});
  // Quantized caches are compared with what was stored only loosely; the plain types closely.
  const auto tolerance = [](KvType type) {
    switch (type) {
      case KvType::f32:
        return 2e-6;
      case KvType::f16:
        return 2e-3;
      case KvType::bf16:
        return 1.5e-2;
      case KvType::q8_0:
        return 2e-2;
      case KvType::q4_0:
        return 0.25;
    }
    return 0.0;
  };
  const double allowed = tolerance(shape.key_type) + tolerance(shape.value_type);
  for (uint32_t t = 0; t < shape.tokens; ++t) {
    const uint32_t own = shape.context + t;
    for (uint32_t h = 0; h < shape.group; ++h) {
      const float* q = query.data() + (size_t{t} * shape.group + h) * shape.key_dim;
      std::vector<double> scores;
      std::vector<uint32_t> seen;
      for (uint32_t p = 0; p <= own; ++p) {
        if (shape.window > 0 && p + shape.window <= own) continue;
        double dot = 0;
        for (uint32_t d = 0; d < shape.key_dim; ++d) dot += double{q[d]} * test.key(p)[d];
        dot *= scale;
        if (shape.softcap > 0) dot = shape.softcap * std::tanh(dot / shape.softcap);
        scores.push_back(dot);
        seen.push_back(p);
      }
      double total = sink != nullptr ? std::exp(double{*sink}) : 0.0;
      for (const double s : scores) total += std::exp(s);
      for (uint32_t d = 0; d < shape.value_dim; ++d) {
        double want = 0;
        for (size_t i = 0; i < seen.size(); ++i) want += std::exp(scores[i]) / total * test.value(seen[i])[d];
        ASSERT_NEAR(out[(size_t{t} * shape.group + h) * shape.value_dim + d], want, allowed)
            << "token " << t << " head " << h << " dim " << d;
      }
    }
  }
}

TEST(ScalarAttention, MatchesSoftmaxForEveryType) {
  for (const KvType key : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
    for (const KvType value : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
      check({key, value, 64, 32, 3, 5, 40, 0, 0.0f, false});
    }
  }
}

TEST(ScalarAttention, MatchesSoftmaxForShapesAndMasks) {
  check({KvType::f32, KvType::f32, 80, 80, 1, 1, 0, 0, 0.0f, false});
  check({KvType::f32, KvType::f32, 100, 100, 1, 3, 20, 0, 0.0f, false});
  check({KvType::f16, KvType::f16, 100, 100, 2, 3, 20, 0, 0.0f, false});
  check({KvType::f32, KvType::f32, 256, 128, 8, 2, 30, 0, 50.0f, false});
  check({KvType::f32, KvType::f32, 32, 64, 4, 20, 1030, 0, 0.0f, true});
  check({KvType::f32, KvType::f32, 64, 64, 2, 30, 600, 17, 0.0f, true});
  check({KvType::f32, KvType::f32, 64, 64, 2, 30, 500, 128, 30.0f, false});
  check({KvType::f32, KvType::f32, 64, 64, 1, 1, 1023, 1, 0.0f, false});
}

TEST(ScalarAttention, ResultsDoNotDependOnChunksOrOtherColumns) {
  const KernelTable& table = **select_kernels("scalar");
  for (const KvType type : {KvType::f16, KvType::q8_0}) {
    AttendCase test(table, {type, type, 64, 64, 32, 700, 12});
    const auto query = test.queries(9, 2);
    const AttendCase::Question whole{
        .tokens = 9, .group = 2, .first_position = 691, .window = 650, .scale = 0.125f};
    const auto together = test.attend(query, whole);
    for (uint32_t t = 0; t < 9; ++t) {
      auto one = whole;
      one.tokens = 1;
      one.first_position += t;
      const std::vector<float> part(query.begin() + t * 128, query.begin() + (t + 1) * 128);
      const auto alone = test.attend(part, one);
      EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * 128, 128 * sizeof(float)), 0)
          << "token " << t;
    }
  }
}

}  // namespace
}  // namespace mullama::kernels::testing
