// For every family: a tiny random model, and the logits that Hugging Face transformers computes for it
// (scripts/golden/families.py). Ours must match at every position, however the prompt is cut into batches.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <numeric>
#include <set>
#include <string>

#include "backend/backend.hpp"
#include "kernels/kernels.hpp"
#include "model/golden_model.hpp"
#include "quant/format.hpp"

namespace mullama::model::test {

namespace {

std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(std::getenv("MULLAMA_TEST_SOURCE_DIR")) / "tests/model/golden" /
         (name + ".golden");
}

/// One sequence through a backend, in batches of `chunk` tokens: the logits of all positions.
Result<std::vector<float>> run(const GoldenModel& model, const std::vector<backend::Matrix>& weights,
                               backend::Backend& machine, uint32_t chunk) {
  const backend::Program& program = model.definition.program;
  const auto count = static_cast<uint32_t>(model.tokens.size());
  const uint32_t pages = (count + backend::kPageTokens - 1) / backend::kPageTokens;
  memory::Ledger ledger;
  backend::KvParams params;
  params.key_type = params.value_type = kernels::KvType::f32;
  params.group_pages.assign(program.kv_groups.size(), pages);
  MULLAMA_ASSIGN(backend::KvStore kv, backend::KvStore::create(program, params, ledger));
  MULLAMA_ASSIGN(backend::Scratch scratch, machine.make_scratch(program, weights, chunk, ledger));

  // Pages in descending order: their order in memory must not matter.
  std::vector<uint32_t> order(pages);
  std::iota(order.rbegin(), order.rend(), 0u);
  const std::vector<backend::PageTable> tables(program.kv_groups.size(), {.pages = order, .first_page = 0});

  std::vector<float> logits(size_t{count} * program.vocabulary);
  for (uint32_t begin = 0; begin < count; begin += chunk) {
    const uint32_t tokens = std::min(chunk, count - begin);
    const backend::SequenceSlice slice{
        .first_row = 0, .tokens = tokens, .first_position = begin, .tables = tables};
    std::vector<uint32_t> rows(tokens);
    std::iota(rows.begin(), rows.end(), 0u);
    backend::Batch batch;
    batch.tokens = std::span(model.tokens).subspan(begin, tokens);
    batch.sequences = {&slice, 1};
    batch.output_rows = rows;
    batch.long_context = model.long_context;
    MULLAMA_TRY(machine.run(program, weights, batch, kv, scratch,
                            std::span(logits).subspan(size_t{begin} * program.vocabulary), nullptr));
  }
  return logits;
}

struct Comparison {
  float worst = 0;
  double root_mean_square = 0;
  uint32_t worst_position = 0;
  uint32_t other_argmax = 0;  // positions whose best token differs
};

Comparison compare(const GoldenModel& model, const std::vector<float>& logits) {
  Comparison result;
  for (size_t position = 0; position < model.tokens.size(); ++position) {
    const float* ours = logits.data() + position * model.vocabulary;
    const float* theirs = model.logits.data() + position * model.vocabulary;
    for (uint32_t i = 0; i < model.vocabulary; ++i) {
      const float difference = std::fabs(ours[i] - theirs[i]);
      result.root_mean_square += double{difference} * difference;
      if (!(difference <= result.worst)) {
        result.worst = difference;
        result.worst_position = static_cast<uint32_t>(position);
      }
    }
    const auto best_of = [&](const float* row) {
      return std::max_element(row, row + model.vocabulary) - row;
    };
    if (best_of(ours) != best_of(theirs)) ++result.other_argmax;
  }
  result.root_mean_square = std::sqrt(result.root_mean_square / static_cast<double>(logits.size()));
  return result;
}

/// Weights of which none is quantized, and the memory behind those that were.
struct PlainWeights {
  std::vector<backend::Matrix> matrices;
  std::vector<std::vector<float>> buffers;
};

PlainWeights dequantize(const std::vector<backend::Matrix>& weights) {
  PlainWeights plain{weights, {}};
  for (backend::Matrix& matrix : plain.matrices) {
    if (kernels::input_form(matrix.type) == kernels::InputForm::floats) continue;
    std::vector<float>& values = plain.buffers.emplace_back(size_t{matrix.depth} * matrix.rows * matrix.cols);
    quant::dequantize_row(matrix.type, matrix.data, values.data(), values.size());
    matrix.type = gguf::TensorType::F32;
    matrix.row_bytes = matrix.cols * sizeof(float);
    matrix.data = reinterpret_cast<const std::byte*>(values.data());
  }
  return plain;
}

}  // namespace

class Families : public ::testing::TestWithParam<const char*> {};

TEST_P(Families, LogitsMatchTransformers) {
  auto model = load_golden(golden_path(GetParam()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(model->definition.unused.empty()) << model->definition.unused[0]->name << " is not used";
  const PlainWeights weights = dequantize(model->definition.weights);
  const auto count = static_cast<uint32_t>(model->tokens.size());

  for (const kernels::KernelTable* kernels : kernels::runnable_kernels()) {
    memory::Ledger ledger;
    auto machine = backend::Backend::create({.threads = 2, .isa = kernels->isa}, ledger);
    ASSERT_TRUE(machine) << machine.error().message;
    for (const uint32_t chunk : {count, 7u, 1u}) {
      const auto logits = run(*model, weights.matrices, **machine, chunk);
      ASSERT_TRUE(logits) << logits.error().message;
      const Comparison result = compare(*model, *logits);
      std::printf("%-22s %-10s chunks of %2u: worst difference %.2e\n", GetParam(), kernels->isa, chunk,
                  static_cast<double>(result.worst));
      EXPECT_LE(result.worst, 1e-3f) << kernels->isa << ", chunks of " << chunk << ", position "
                                     << result.worst_position;
      EXPECT_EQ(result.other_argmax, 0u) << kernels->isa << ", chunks of " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         ::testing::Values("llama", "llama-tied-biases", "llama-rope-llama3",
                                           "llama-rope-linear", "llama-rope-yarn", "mistral-window",
                                           "mixtral", "qwen2", "qwen2-rope-yarn", "qwen3", "qwen3moe",
                                           "gemma2", "gemma3", "gemma3-rope-linear", "phi3-window",
                                           "phi3-longrope-short", "phi3-longrope-long", "smollm3", "olmo2",
                                           "olmo3-window-yarn", "granite", "gpt-oss", "gpt-oss-mxfp4"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Kernels for quantized weights round activations to 8 bits, which transformers does not.
TEST(QuantizedExperts, StayNearTransformers) {
  auto model = load_golden(golden_path("gpt-oss-mxfp4"));
  ASSERT_TRUE(model) << model.error().message;
  memory::Ledger ledger;
  auto machine = backend::Backend::create({.threads = 2, .isa = {}}, ledger);
  ASSERT_TRUE(machine) << machine.error().message;
  const auto logits =
      run(*model, model->definition.weights, **machine, static_cast<uint32_t>(model->tokens.size()));
  ASSERT_TRUE(logits) << logits.error().message;
  const Comparison result = compare(*model, *logits);
  // Logits have a standard deviation of 2.3.
  EXPECT_LT(result.root_mean_square, 0.06);
  EXPECT_LE(result.other_argmax, 1u);
}

TEST(FamiliesList, EveryArchitectureHasAGolden) {
  std::set<std::string_view> covered;
  const std::filesystem::path folder = golden_path("llama").parent_path();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    auto model = load_golden(entry.path());
    ASSERT_TRUE(model) << model.error().message;
    covered.insert(model->definition.spec->name);
  }
  for (const ArchSpec* spec : architectures()) {
    EXPECT_TRUE(covered.contains(spec->name)) << spec->name << " has no golden: see docs/adding-a-model.md";
  }
}

}  // namespace mullama::model::test
