#include "engine/plan.hpp"

#include <ctime>
#include <gtest/gtest.h>

#include "backend/kv_store.hpp"
#include "engine/fit.hpp"
#include "engine/known_headers.hpp"
#include "engine/known_shapes.hpp"
#include "memory/budget.hpp"
#include "memory/fake_tree.hpp"
#include "memory/residency.hpp"

namespace mullama::engine {
namespace {

using kernels::KvType;
using memory::MappedWeights;
using memory::Pool;
using test::known;
using test::make;
using test::Shaped;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

uint64_t kv_bytes(const Shaped& shaped, uint32_t n_ctx, KvType type, uint32_t n_batch = 512) {
  ContextParams params;
  params.n_ctx = n_ctx;
  params.n_batch = n_batch;
  params.key_type = params.value_type = type;
  const auto shape = shape_context(shaped.definition, params, 1);
  EXPECT_TRUE(shape) << shape.error().message;
  return shape ? shape->kv_bytes : 0;
}

// T01 to T07, T10 to T15, T24, T25
TEST(Plan, MultiHeadAttentionMatchesTheGuidesTables) {
  const auto llama7 = known("llama-2-7b");
  EXPECT_EQ(kv_bytes(*llama7, 4096, KvType::f32), 4096 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 4096, KvType::f16), 2048 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 4096, KvType::bf16), 2048 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 4096, KvType::q8_0), 1088 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 4096, KvType::q4_0), 576 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 512, KvType::f16), 256 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 2048, KvType::f16), 1024 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 8192, KvType::f16), 4096 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 16384, KvType::f16), 8192 * kMiB);
  EXPECT_EQ(kv_bytes(*llama7, 32768, KvType::f16), 16384 * kMiB);
  EXPECT_EQ(kv_bytes(*known("llama-2-13b"), 4096, KvType::f16), 3200 * kMiB);
}

// X01: grouped heads take their real bytes, not those of the guide's formula.
TEST(Plan, GroupedQueryAttentionIsExact) {
  const auto check = [](std::string_view name, uint64_t f16, uint64_t q8_0, uint64_t q4_0) {
    const auto shaped = known(name);
    EXPECT_EQ(kv_bytes(*shaped, 4096, KvType::f16), f16 * kMiB) << name;
    EXPECT_EQ(kv_bytes(*shaped, 4096, KvType::q8_0), q8_0 * kMiB) << name;
    EXPECT_EQ(kv_bytes(*shaped, 4096, KvType::q4_0), q4_0 * kMiB) << name;
  };
  check("llama-3.1-8b", 512, 272, 144);
  check("qwen2.5-7b", 224, 119, 63);
  check("qwen3-8b", 576, 306, 162);
  check("llama-2-70b", 1280, 680, 360);
}

TEST(Plan, SmallAndOddContextsAreExact) {
  constexpr KnownShape kQwen3Small{.name = "qwen3-0.6b",
                                   .architecture = "qwen3",
                                   .layers = 28,
                                   .embedding = 1024,
                                   .heads = 16,
                                   .kv_heads = 8,
                                   .head_length = 128,
                                   .feed_forward = 3072,
                                   .vocabulary = 151936,
                                   .context = 40960,
                                   .tied = true,
                                   .rope_base = 1000000,
                                   .merges = 151387};
  const auto shaped = make(kQwen3Small, quant::FileType::Q8_0);
  ASSERT_TRUE(shaped) << shaped.error().message;
  EXPECT_EQ(kv_bytes(**shaped, 1024, KvType::q8_0), 59 * kMiB + kMiB / 2);
  EXPECT_EQ(kv_bytes(**shaped, 32768, KvType::f16), 3584 * kMiB);
  // Cells come in pages of 32.
  EXPECT_EQ(kv_bytes(**shaped, 33, KvType::f16), kv_bytes(**shaped, 64, KvType::f16));
}

TEST(Plan, WindowedLayersHoldTheirWindow) {
  const auto gpt = known("gpt-oss-20b");
  // 12 layers see all 131072 positions; 12 hold 128 positions and a batch of 512, which may begin and end
  // inside a page: 21 pages of 32.
  const uint64_t layer_cell = uint64_t{8} * 64 * 2 * 2;
  EXPECT_EQ(kv_bytes(*gpt, 131072, KvType::f16), 3072 * kMiB + 12 * 672 * layer_cell);

  constexpr KnownShape kGemmaSmall{.name = "gemma-3-270m",
                                   .architecture = "gemma3",
                                   .layers = 18,
                                   .embedding = 640,
                                   .heads = 4,
                                   .kv_heads = 1,
                                   .head_length = 256,
                                   .feed_forward = 2048,
                                   .vocabulary = 262144,
                                   .context = 32768,
                                   .tied = true,
                                   .rope_base = 1000000,
                                   .window = 512};
  const auto gemma = make(kGemmaSmall, quant::FileType::Q8_0);
  ASSERT_TRUE(gemma) << gemma.error().message;
  // 3 full layers and 15 with a window of 512: 33 pages with a batch of 512. Rounded up to 256 cells the
  // windows would hold 1024 and the whole 27 MiB; a window that may begin inside a page needs one page more.
  EXPECT_EQ(kv_bytes(**gemma, 4096, KvType::f16), (uint64_t{3} * 4096 + 15 * 1056) * 256 * 2 * 2);
  EXPECT_EQ(kv_bytes(**gemma, 4096, KvType::f16), 27 * kMiB + 480 * 1024);
}

// No family has such layers yet: what their caches would take is known all the same.
TEST(Plan, LatentAndRecurrentLayersAreExact) {
  // DeepSeek-V3: 61 layers with one row of 512 latent and 64 rotated values, which is keys and values at
  // once.
  backend::Program latent;
  latent.kv_layers.assign(61, {.kv_heads = 1, .key_dim = 512 + 64, .value_dim = 0});
  const backend::KvParams params{
      .key_type = KvType::q8_0, .value_type = KvType::q8_0, .group_pages = {32768 / backend::kPageTokens}};
  const auto bytes = backend::KvStore::bytes_needed(latent, params);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(*bytes * 1000, kMiB * 1166625);

  constexpr backend::RecurrentLayer kGatedDelta{.convolution = 4, .inner = 6144, .groups = 16, .state = 128};
  EXPECT_EQ(48 * kGatedDelta.bytes() * 1000, kMiB * 149625);
}

// T20, T23: file sizes by quantization.
TEST(Plan, WeightsFollowTheQuantization) {
  const auto gigabytes = [](std::string_view name, quant::FileType type) {
    return static_cast<double>(known(name, type)->file.file_bytes()) / kGiB;
  };
  EXPECT_NEAR(gigabytes("llama-2-7b", quant::FileType::F16), 12.55, 0.05);
  EXPECT_NEAR(gigabytes("llama-2-7b", quant::FileType::Q8_0), 6.67, 0.05);
  EXPECT_NEAR(gigabytes("llama-2-7b", quant::FileType::Q4_K_M), 3.80, 0.05);
  EXPECT_NEAR(gigabytes("llama-2-7b", quant::FileType::Q3_K_M), 3.07, 0.05);
  EXPECT_NEAR(gigabytes("llama-2-13b", quant::FileType::Q4_K_M), 7.33, 0.08);
  EXPECT_NEAR(gigabytes("llama-2-70b", quant::FileType::Q4_K_M), 38.6, 0.4);
}

TEST(Plan, EveryKnownShapeCanBePlannedQuickly) {
  for (const KnownShape& shape : known_shapes()) {
    const auto shaped = make(shape, quant::FileType::Q4_K_M);
    ASSERT_TRUE(shaped) << shape.name << ": " << shaped.error().message;
    EXPECT_TRUE((*shaped)->definition.unused.empty()) << shape.name;
    const std::clock_t start = std::clock();
    const auto plan = plan_run((*shaped)->file, (*shaped)->definition, {}, {});
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 0.1);
    ASSERT_TRUE(plan) << shape.name << ": " << plan.error().message;
    EXPECT_EQ(plan->in(Pool::weights_mapped), (*shaped)->file.file_bytes());
    EXPECT_EQ(plan->shape.n_ctx, std::min(4096u, shape.context));
    EXPECT_EQ(plan->shape.n_batch, 512u);
    uint64_t sum = 0;
    for (const memory::PlanRow& row : plan->rows()) sum += row.bytes;
    EXPECT_EQ(plan->total(), sum);
    EXPECT_EQ(plan->recommended(), sum + sum / 5);
  }
  EXPECT_FALSE(find_known_shape("gpt-9"));
}

// Issue row M1's first sentence: a 70B file is planned from its header alone.
TEST(Plan, SeventyBillionWeightsArePlannedFromTheHeadersPages) {
  const auto shape = find_known_shape("llama-2-70b");
  ASSERT_TRUE(shape);
  const auto header = build_header(**shape, quant::FileType::Q4_K_M);
  ASSERT_TRUE(header);
  // A file with holes: reading its weights would show as pages of the page cache.
  const memory::FakeTree folder;
  const std::filesystem::path path = folder.path() / "70b.gguf";
  folder.write("70b.gguf", {reinterpret_cast<const char*>(header->bytes.data()), header->bytes.size()});
  std::filesystem::resize_file(path, header->file_bytes);
  const std::clock_t start = std::clock();
  const auto file = gguf::File::open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto definition = model::define(*file);
  ASSERT_TRUE(definition) << definition.error().message;
  const auto plan = plan_run(*file, *definition, {}, {});
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->in(Pool::weights_mapped), header->file_bytes);
  const auto resident = memory::resident_bytes(file->mappings().front().file.bytes());
  ASSERT_TRUE(resident);
  std::printf("70B header of %zu bytes: %.1f ms, %lu bytes of the file read\n", header->bytes.size(),
              1000 * seconds, static_cast<unsigned long>(*resident));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(seconds, 0.1);
#endif
  // The system reads ahead by some pages.
  EXPECT_LE(*resident, header->bytes.size() + kMiB);
}

// G23
TEST(Plan, LargerBatchesTakeMoreScratch) {
  const auto shaped = known("llama-3.2-1b");
  uint64_t before = 0;
  for (const uint32_t n_batch : {128u, 512u, 2048u, 4096u}) {
    ContextParams params;
    params.n_batch = n_batch;
    const auto plan = plan_run(shaped->file, shaped->definition, {}, params);
    ASSERT_TRUE(plan);
    EXPECT_GT(plan->in(Pool::scratch), before);
    before = plan->in(Pool::scratch);
  }
}

TEST(Plan, OwnedWeightsAreHugePagesAndNothingIsMapped) {
  const auto shaped = known("llama-3.2-1b");
  LoadParams load;
  load.use_mmap = false;
  const auto plan = plan_run(shaped->file, shaped->definition, load, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->in(Pool::weights_mapped), 0u);
  EXPECT_EQ(plan->in(Pool::weights) % (2 * kMiB), 0u);
  EXPECT_GE(plan->in(Pool::weights), owned_weight_bytes(shaped->file));
}

TEST(Fit, SmallerTypesComeBeforeSmallerContexts) {
  const auto shaped = known("llama-3.1-8b");
  ContextParams params;
  params.n_ctx = 32768;
  const auto full = plan_run(shaped->file, shaped->definition, {}, params);
  ASSERT_TRUE(full);
  // One byte short of f16: q8_0 saves nearly half.
  const MemoryLimit limit{counted(*full, MappedWeights::count) - 1, MappedWeights::count};
  const auto alternatives = fitting_alternatives(shaped->file, shaped->definition, {}, params, limit);
  ASSERT_TRUE(alternatives);
  ASSERT_EQ(alternatives->size(), 3u);
  EXPECT_EQ((*alternatives)[0].flags, "--kv-cache-type q8_0");
  EXPECT_EQ((*alternatives)[1].flags, "--kv-cache-type q4_0");
  EXPECT_EQ((*alternatives)[2].flags, "--ctx-size 32512");
  for (const Alternative& alternative : *alternatives) {
    const auto plan = plan_run(shaped->file, shaped->definition, {}, alternative.context);
    ASSERT_TRUE(plan);
    EXPECT_EQ(counted(*plan, MappedWeights::count), alternative.bytes);
    EXPECT_LE(alternative.bytes, limit.bytes);
  }
  const auto fitted = fit_context(shaped->file, shaped->definition, {}, params, limit);
  ASSERT_TRUE(fitted);
  EXPECT_EQ(fitted->n_ctx, 32768u);
  EXPECT_EQ(fitted->key_type, KvType::q8_0);
}

TEST(Fit, TakesTheLargestContextThatFits) {
  const auto shaped = known("llama-3.1-8b");
  const MemoryLimit limit{3 * kGiB, MappedWeights::ignore};
  const auto fitted = fit_context(shaped->file, shaped->definition, {}, {}, limit);
  ASSERT_TRUE(fitted);
  EXPECT_EQ(fitted->key_type, KvType::f16);
  EXPECT_GE(fitted->n_ctx, 8192u);
  ContextParams larger = *fitted;
  larger.n_ctx += 256;
  EXPECT_TRUE(admit(shaped->file, shaped->definition, {}, *fitted, limit));
  EXPECT_FALSE(admit(shaped->file, shaped->definition, {}, larger, limit));
  // With everything free, the whole trained context.
  const auto all = fit_context(shaped->file, shaped->definition, {}, {}, {200 * kGiB, MappedWeights::count});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->n_ctx, 131072u);
}

TEST(Fit, RefusalSaysNeedBudgetAndWhatWouldFit) {
  const auto shaped = known("llama-3.2-1b");
  ContextParams params;
  params.n_ctx = 131072;
  const auto status = admit(shaped->file, shaped->definition, {}, params, {2 * kGiB, MappedWeights::count});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::budget_exceeded);
  const std::string& message = status.error().message;
  EXPECT_NE(message.find("need 4."), std::string::npos) << message;
  EXPECT_NE(message.find("budget 2.00 GiB"), std::string::npos) << message;
  EXPECT_NE(message.find("this would fit: --kv-cache-type q4_0 ("), std::string::npos) << message;
  EXPECT_NE(message.find("or --ctx-size "), std::string::npos) << message;
  const auto hopeless =
      admit(shaped->file, shaped->definition, {}, params, {100 * kMiB, MappedWeights::count});
  ASSERT_FALSE(hopeless);
  EXPECT_NE(hopeless.error().message.find("no context fits"), std::string::npos) << hopeless.error().message;
  EXPECT_FALSE(fit_context(shaped->file, shaped->definition, {}, {}, {100 * kMiB, MappedWeights::count}));
}

TEST(Fit, LimitIsTheBudgetLessWhatIsInUse) {
  memory::Ledger ledger;
  const auto none = current_limit(ledger);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->mapped, MappedWeights::ignore);
  EXPECT_GT(none->bytes, 0u);
  ASSERT_TRUE(memory::apply_budget(ledger, *memory::parse_budget("1GiB")));
  const auto held = ledger.take(Pool::kv, 24 * kMiB, memory::Placement::lazy, "held");
  ASSERT_TRUE(held);
  const auto limit = current_limit(ledger);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->bytes, 1000 * kMiB);
  EXPECT_EQ(limit->mapped, MappedWeights::count);
}

}  // namespace
}  // namespace mullama::engine
