// Rows of the contract about memory, batch and context that show only when a model runs, through the public
// API and the ledger behind it.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/errors.hpp"
#include "engine/engine.hpp"
#include "engine/sparse_model.hpp"
#include "memory/fake_tree.hpp"
#include "memory/fault.hpp"
#include "memory/proc_text.hpp"
#include "memory/residency.hpp"
#include "mullama/mullama.hpp"

namespace mullama {
namespace {

using engine::test::kMiddling;
using engine::test::kSmall;
using memory::kHost;
using memory::Ledger;
using memory::Pool;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class MemoryRows : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new memory::FakeTree();
    path_ = folder_->path() / "middling.gguf";
    const Status written = engine::test::write_sparse_model(path_, kMiddling, quant::FileType::Q8_0);
    ASSERT_TRUE(written) << written.error().message;
    // Pages that wait to be written are not clean yet.
    const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(::fsync(file), 0);
    ::close(file);
    std::filesystem::permissions(folder_->path(), std::filesystem::perms(0755));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static Model load(const ModelParams& params = {}) {
    return Model::load_with_params(path_.string(), params);
  }

  static memory::FakeTree* folder_;
  static std::filesystem::path path_;
};

memory::FakeTree* MemoryRows::folder_ = nullptr;
std::filesystem::path MemoryRows::path_;

std::vector<Token> some_tokens(size_t count) {
  std::vector<Token> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<Token>(300 + i * 7 % 1000);
  return tokens;
}

GenerateResult generate(Context& context, size_t prompt, int32_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.ignore_end_of_generation = true;
  options.sampler.seed = 7;
  return context.generate_tokens(some_tokens(prompt), options);
}

const PoolUsage& pool_of(const MemoryInfo& info, std::string_view name) {
  static const PoolUsage kNone;
  const auto found = std::ranges::find(info.pools, name, &PoolUsage::pool);
  return found == info.pools.end() ? kNone : *found;
}

uint64_t status_bytes(const char* key) {
  const auto text = memory::read_proc_text("/proc/self/status");
  return text ? memory::find_number(*text, key).value_or(0) : 0;
}

bool is_mapped(const std::filesystem::path& path) {
  const auto mappings = memory::process_mappings();
  return mappings &&
         std::ranges::any_of(*mappings, [&](const auto& one) { return one.name == path.string(); });
}

uint64_t major_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_majflt);
}

/// Processor time of this process in seconds: what others run meanwhile does not count, but for what they do
/// to caches.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

TEST_F(MemoryRows, C05_C06_C07_X13_TypesInUseAreThoseAskedFor) {
  const Model model = load();
  ContextParams params{.n_ctx = 256};
  const uint64_t f16 = Context(model, params).memory_info().kv_cache_size;
  const std::pair<KvCacheType, double> kTypes[] = {{KvCacheType::F32, 2},
                                                   {KvCacheType::F16, 1},
                                                   {KvCacheType::BF16, 1},
                                                   {KvCacheType::Q8_0, 34.0 / 64},
                                                   {KvCacheType::Q4_0, 18.0 / 64}};
  for (const auto& [type, share] : kTypes) {
    params.kv_cache_type = type;
    Context context(model, params);
    generate(context, 20, 2);
    const MemoryInfo info = context.memory_info();
    EXPECT_EQ(info.key_type, type);
    EXPECT_EQ(info.value_type, type);
    EXPECT_EQ(static_cast<double>(info.kv_cache_size), share * static_cast<double>(f16)) << to_string(type);
  }
}

TEST_F(MemoryRows, C08_UnknownTypeNamesTheValidOnes) {
  try {
    static_cast<void>(kv_cache_type_from_string("q3"));
    FAIL();
  } catch (const MullamaError& error) {
    EXPECT_EQ(error.code(), StatusCode::invalid_argument);
    for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0"})
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST_F(MemoryRows, C09_C10_G16_MappedByDefaultAndNotWithoutMmap) {
  EXPECT_TRUE(ModelParams().use_mmap);
  EXPECT_FALSE(ModelParams().use_mlock);
  {
    const Model model = load();
    EXPECT_TRUE(is_mapped(path_));
  }
  EXPECT_FALSE(is_mapped(path_));
  const Model owned = load({.use_mmap = false});
  EXPECT_FALSE(is_mapped(path_));
  const MemoryInfo info = Context(owned, {.n_ctx = 64}).memory_info();
  EXPECT_GE(pool_of(info, "weights").residency.anonymous, info.model_size);
}

TEST_F(MemoryRows, C11_G17_LockedMeansResidentAndStaying) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  std::vector<std::string> warnings;
  ModelParams params;
  params.use_mlock = true;
  params.on_warning = [&](const std::string& line) { warnings.push_back(line); };
  const Model model = load(params);
  if (!warnings.empty()) GTEST_SKIP() << warnings.front();
  Context context(model, {.n_ctx = 256});
  generate(context, 20, 2);
  const MemoryInfo info = context.memory_info();
  EXPECT_EQ(info.lock_achieved, info.lock_asked);
  EXPECT_GE(info.lock_asked, info.model_size + info.kv_cache_size);
  EXPECT_GE(status_bytes("VmLck"), info.model_size);
  const PoolUsage& weights = pool_of(info, "weights (mapped)");
  EXPECT_EQ(weights.residency.locked, weights.residency.resident);
  EXPECT_GE(weights.residency.resident, info.model_size);
}

/// Runs `body` in a child that is an ordinary user with a limit of 64 KiB.
int exit_code_as_limited_user(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{64 * 1024, 64 * 1024};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || ::setuid(65534) != 0) ::_exit(99);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

TEST_F(MemoryRows, G21_MlockWithoutPermissionWarnsAndGoesOnOrFailsIfRequired) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user with another limit";
  EXPECT_EQ(exit_code_as_limited_user([] {
              std::string warning;
              ModelParams params;
              params.use_mlock = true;
              params.n_threads = 1;
              params.on_warning = [&](const std::string& line) { warning = line; };
              const Model model = load(params);
              if (warning.find("limit RLIMIT_MEMLOCK is 64.00 KiB") == std::string::npos) return 1;
              if (warning.find("ulimit -l unlimited") == std::string::npos) return 2;
              if (warning.find("/etc/security/limits.conf") == std::string::npos) return 3;
              if (warning.find("elevated privileges") == std::string::npos) return 4;
              Context context(model, {.n_ctx = 64});
              if (generate(context, 4, 2).generated_tokens != 2) return 5;
              const MemoryInfo info = context.memory_info();
              return info.lock_achieved == 64 * 1024 && info.lock_asked > info.model_size ? 0 : 6;
            }),
            0);
  EXPECT_EQ(exit_code_as_limited_user([] {
              try {
                static_cast<void>(load({.use_mlock = true, .mlock_required = true, .n_threads = 1}));
              } catch (const MullamaError& error) {
                return error.code() == StatusCode::permission ? 0 : 2;
              }
              return 1;
            }),
            0);
}

TEST_F(MemoryRows, C12_C17_G27_ContextSizeAndItsUse) {
  const Model model = load();
  Context context(model, {.n_ctx = 512, .kv_cache_type = KvCacheType::Q4_0});
  EXPECT_EQ(context.memory_info().context_size, 512u);
  EXPECT_EQ(context.memory_info().token_count, 0u);
  generate(context, 30, 5);
  EXPECT_EQ(context.memory_info().token_count, 35u);
  context.clear();
  EXPECT_EQ(context.memory_info().token_count, 0u);
}

TEST_F(MemoryRows, C14_G23_LargerBatchesTakeMoreScratch) {
  const Model model = load();
  uint64_t before = 0;
  for (const uint32_t n_batch : {128u, 512u, 2048u, 4096u}) {
    const Context context(model, {.n_ctx = 4096, .n_batch = n_batch});
    EXPECT_GT(context.memory_info().scratch_size, before);
    before = context.memory_info().scratch_size;
  }
}

TEST_F(MemoryRows, G07_N13_ContextsAddNoSecondCopyOfTheWeights) {
  const Model model = load();
  Context first(model, {.n_ctx = 512});
  const uint64_t one = Ledger::process().usage().total(kHost);
  const MemoryInfo info = first.memory_info();
  const Context second(model, {.n_ctx = 512});
  const Context third(model, {.n_ctx = 512});
  const memory::Usage usage = Ledger::process().usage();
  EXPECT_EQ(usage.in(kHost, Pool::weights_mapped), info.model_size);
  EXPECT_EQ(usage.in(kHost, Pool::kv), 3 * info.kv_cache_size);
  EXPECT_LT(usage.total(kHost) - one, 2 * info.kv_cache_size + kMiB);
  EXPECT_EQ(third.memory_info().unaccounted, 0u);
}

TEST_F(MemoryRows, G08_TheLastReferenceFrees) {
  std::optional<Model> model = load();
  std::optional<Context> context(std::in_place, *model, ContextParams{.n_ctx = 64});
  model.reset();
  EXPECT_TRUE(is_mapped(path_));
  EXPECT_EQ(generate(*context, 4, 2).generated_tokens, 2u);
  context.reset();
  EXPECT_FALSE(is_mapped(path_));
  EXPECT_EQ(Ledger::process().usage().total(kHost), 0u);
  EXPECT_EQ(live_objects().models, 0u);
}

TEST_F(MemoryRows, G13_PagesOfTheMapComeAsTheyAreUsed) {
  const Model model = load();
  Context context(model, {.n_ctx = 128});
  const uint64_t before = pool_of(context.memory_info(), "weights (mapped)").residency.resident;
  generate(context, 8, 2);
  const MemoryInfo info = context.memory_info();
  const Residency& after = pool_of(info, "weights (mapped)").residency;
  EXPECT_LT(before, info.model_size / 2);
  EXPECT_GT(after.resident, info.model_size / 10 * 9);
  EXPECT_EQ(after.clean, after.resident);
  EXPECT_EQ(after.anonymous, 0u);
}

TEST_F(MemoryRows, G14_MappingLoadsFasterThanCopying) {
  const auto cpu_seconds = [&](bool use_mmap) {
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      const std::clock_t start = std::clock();
      const Model model = load({.use_mmap = use_mmap});
      best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    return best;
  };
  const double copied = cpu_seconds(false);
  const double mapped = cpu_seconds(true);
  std::printf("load: %.1f ms mapped, %.1f ms copied\n", 1000 * mapped, 1000 * copied);
  EXPECT_LT(mapped, copied / 2);
}

TEST_F(MemoryRows, G18_MappedPagesCanBeTakenBackWithoutHarm) {
  const Model model = load();
  Context context(model, {.n_ctx = 128});
  const GenerateResult first = generate(context, 8, 4);
  const uint64_t used = pool_of(context.memory_info(), "weights (mapped)").residency.resident;
  for (const memory::Region& region : Ledger::process().regions()) {
    if (region.pool != Pool::weights_mapped) continue;
    auto* const begin = const_cast<std::byte*>(region.bytes.data());
    if (::madvise(begin, region.bytes.size(), MADV_PAGEOUT) != 0)
      GTEST_SKIP() << "this kernel pages nothing out";
  }
  const uint64_t left = pool_of(context.memory_info(), "weights (mapped)").residency.resident;
  EXPECT_LT(left, used / 2);
  context.clear();
  EXPECT_EQ(generate(context, 8, 4).tokens, first.tokens);
}

TEST_F(MemoryRows, G19_LockedPagesMakeShortAnswersTakeTheirTimeAgainAndAgain) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's time is not the library's, and it locks nothing";
#endif
  std::vector<std::string> warnings;
  ModelParams params;
  params.use_mlock = true;
  params.n_threads = 1;
  params.on_warning = [&](const std::string& line) { warnings.push_back(line); };
  const Model model = load(params);
  if (!warnings.empty()) GTEST_SKIP() << warnings.front();
  Context context(model, {.n_ctx = 64});
  const auto once = [&] {
    context.clear();
    const double start = cpu_seconds();
    generate(context, 4, 2);
    return cpu_seconds() - start;
  };
  once();
  double best = 1e9;
  uint64_t fewest_faults = UINT64_MAX;
  for (int series = 0; series < 5; ++series) {
    const uint64_t before = major_faults();
    std::vector<double> seconds(100);
    for (double& one : seconds) one = once();
    std::ranges::sort(seconds);
    std::printf("100 answers: median %.2f ms, 99th percentile %.2f ms\n", 1000 * seconds[50],
                1000 * seconds[98]);
    best = std::min(best, seconds[98] / seconds[50]);
    fewest_faults = std::min(fewest_faults, major_faults() - before);
  }
  // What a page that was lost costs: waiting for the disk, which is no processor's time. The program's own
  // pages are not locked, and where memory is short one may be lost in some series.
  EXPECT_EQ(fewest_faults, 0u);
  // Measured: 1.15 alone and with 16 others at work on two cores, which leave some series at 1.5.
  EXPECT_LT(best, 2);
}

TEST_F(MemoryRows, G20_NoPageFaultsReachTheDiskDuringAnswers) {
  for (const bool use_mmap : {true, false}) {
    ModelParams params;
    params.use_mmap = use_mmap;
    params.use_mlock = use_mmap;
    params.on_warning = [](const std::string&) {};
    const Model model = load(params);
    Context context(model, {.n_ctx = 128});
    generate(context, 8, 2);
    // The best of three: a page of the program itself may be lost meanwhile, where memory is short.
    uint64_t fewest = UINT64_MAX;
    for (int series = 0; series < 3; ++series) {
      const uint64_t before = major_faults();
      for (int i = 0; i < 5; ++i) {
        context.clear();
        generate(context, 8, 8);
      }
      fewest = std::min(fewest, major_faults() - before);
    }
    EXPECT_EQ(fewest, 0u);
  }
}

TEST_F(MemoryRows, G24_T16_T17_T18_T19_LargerBatchesTakeScratchAndReadPromptsNoSlower) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's time is not the library's";
#endif
  constexpr uint32_t kPrompt = 4096;
  const auto small = folder_->path() / "small.gguf";
  const Status written = engine::test::write_sparse_model(small, kSmall, quant::FileType::Q8_0);
  ASSERT_TRUE(written) << written.error().message;
  struct Row {
    uint32_t n_batch;
    Model model;  // of its own, since contexts of one share the scratch
    Context context;
    double seconds = 1e9;
  };
  std::vector<Row> rows;
  for (const uint32_t n_batch : {16u, 128u, 512u, 2048u, 4096u}) {
    Model model = Model::load_with_params(small.string(), {.n_threads = 1});
    Context context(model, {.n_ctx = kPrompt, .n_batch = n_batch});
    rows.push_back({n_batch, std::move(model), std::move(context)});
  }
  // In turn, so that a busy spell of the machine meets all; the best of each is what disturbed it least.
  for (int round = 0; round < 4; ++round) {
    for (Row& row : rows) {
      row.context.clear();
      const double start = cpu_seconds();
      row.context.evaluate(some_tokens(kPrompt));
      row.seconds = std::min(row.seconds, cpu_seconds() - start);
    }
  }
  uint64_t scratch = 0;
  double fastest = 0;
  for (const Row& row : rows) {
    const uint64_t bytes = row.context.memory_info().scratch_size;
    const double speed = kPrompt / row.seconds;
    std::printf("n_batch %4u: %6.2f MiB of scratch, %6.0f tokens a second\n", row.n_batch,
                static_cast<double>(bytes) / kMiB, speed);
    EXPECT_GT(bytes, scratch) << row.n_batch;
    // On a CPU the gain ends where weights are read seldom enough; then working memory outgrows the caches.
    // Measured, with 16 others at work on two cores: at most 9 % below the fastest before.
    EXPECT_GT(speed, 0.8 * fastest) << row.n_batch;
    scratch = bytes;
    fastest = std::max(fastest, speed);
  }
  // Measured: 1.26 to 1.4.
  EXPECT_GT(fastest, 1.1 * kPrompt / rows.front().seconds);
}

TEST_F(MemoryRows, G26_TotalAllocatedIsWhatTheProcessGrewBy) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers grow the process by themselves";
#endif
  const auto before = memory::measure_process(Ledger::process());
  const Model model = load();
  Context context(model, {.n_ctx = 1024, .n_batch = 256});
  context.evaluate(some_tokens(1024));
  const MemoryInfo info = context.memory_info();
  ASSERT_TRUE(before);
  const double grown =
      static_cast<double>(info.residency.resident) - static_cast<double>(before->process.resident);
  std::printf("total allocated %lu, grown by %.0f\n", static_cast<unsigned long>(info.total_allocated),
              grown);
  EXPECT_NEAR(grown, static_cast<double>(info.total_allocated), 0.05 * grown);
}

TEST_F(MemoryRows, G28_TotalCoversModelKvAndBuffers) {
  const Model model = load();
  const MemoryInfo info = Context(model, {.n_ctx = 512}).memory_info();
  EXPECT_GE(info.total_allocated,
            info.model_size + info.kv_cache_size + info.scratch_size + info.output_size);
  EXPECT_GT(info.tokenizer_size, 0u);
}

TEST_F(MemoryRows, G29_ClearReallocatesNothing) {
  ASSERT_TRUE(memory::FaultInjector::built_in());
  const Model model = load();
  Context context(model, {.n_ctx = 256});
  generate(context, 20, 4);
  const std::vector<memory::Region> before = Ledger::process().regions();
  memory::FaultInjector::fail_nth(UINT64_MAX);
  context.clear();
  EXPECT_EQ(memory::FaultInjector::seen(), 0u);
  memory::FaultInjector::fail_nth(0);
  const std::vector<memory::Region> after = Ledger::process().regions();
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i].bytes.data(), before[i].bytes.data());
}

TEST_F(MemoryRows, G30_WithoutClearTheNextAnswerContinues) {
  const Model model = load();
  Context context(model, {.n_ctx = 256});
  generate(context, 20, 4);
  generate(context, 10, 4);
  EXPECT_EQ(context.token_count(), 38u);
}

TEST_F(MemoryRows, G33_FailedLoadsLeaveNothingBehind) {
  const auto fail_once = [&] {
    try {
      const Model model = load();
      const Context context(model, {.n_ctx = 8192});
      return false;
    } catch (const MemoryError& error) {
      return error.code() == StatusCode::budget_exceeded;
    }
  };
  // Once the weights do not fit, once the context does not.
  for (const char* budget : {"20MiB", "60MiB"}) {
    set_memory_budget(budget);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(fail_once());
    const auto before = memory::measure_process(Ledger::process());
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(fail_once());
    const auto after = memory::measure_process(Ledger::process());
    EXPECT_EQ(Ledger::process().usage().total(kHost), 0u);
    ASSERT_TRUE(before && after);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(after->process.resident, before->process.resident + kMiB);
#endif
  }
  set_memory_budget("");
  const Model model = load();
  Context context(model, {.n_ctx = 64});
  EXPECT_EQ(generate(context, 4, 2).generated_tokens, 2u);
}

TEST_F(MemoryRows, BudgetRefusalOfAContextSaysWhatWouldFit) {
  const Model model = load();
  const uint64_t held = Ledger::process().usage().total(kHost);
  set_memory_budget(std::to_string(held + 40 * kMiB));
  try {
    const Context context(model, {.n_ctx = 8192, .n_batch = 64});
    ADD_FAILURE();
  } catch (const MemoryError& error) {
    const std::string message = error.what();
    for (const char* part : {"need ", "budget ", "this would fit: ", "--kv-cache-type q4_0", "--ctx-size "})
      EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  // What it named does fit.
  EXPECT_NO_THROW(Context(model, {.n_ctx = 8192, .n_batch = 64, .kv_cache_type = KvCacheType::Q4_0}));
  set_memory_budget("");
}

TEST_F(MemoryRows, C18_G35_GpuLayersOnACpuWarnAndRun) {
  std::string warning;
  ModelParams params;
  params.n_gpu_layers = -1;
  params.on_warning = [&](const std::string& line) { warning = line; };
  const Model model = load(params);
  EXPECT_NE(warning.find("no GPU backend"), std::string::npos);
  Context context(model, {.n_ctx = 64});
  EXPECT_EQ(generate(context, 4, 2).generated_tokens, 2u);
}

TEST_F(MemoryRows, C23_X07_X09_AFullDeviceNamesTheCauseAndTheNextStep) {
  Ledger ledger;
  const memory::Device gpu{memory::Device::Kind::gpu, 0};
  ledger.set_budget(gpu, 64 * kMiB);
  EXPECT_TRUE(ledger.charge(Pool::weights, gpu, 64 * kMiB, "layers"));
  const auto refused = ledger.charge(Pool::weights, gpu, 65 * kMiB, "layers");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gpu_out_of_memory);
  for (const char* part :
       {"out of memory", "insufficient memory", "try fewer --gpu-layers", "need 65.00 MiB", "free 64.00 MiB"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
}

TEST(ApiErrors, X16_EachCodeInsideIsThrownAsItsKind) {
  const auto thrown = [](ErrorCode code) {
    try {
      api::throw_error({code, "why"});
    } catch (const MullamaError& error) {
      EXPECT_STREQ(error.what(), "why");
      EXPECT_EQ(error.code(), api::status_code(code));
      return std::pair(dynamic_cast<const GpuMemoryError*>(&error) != nullptr,
                       dynamic_cast<const MemoryError*>(&error) != nullptr);
    }
  };
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    const bool gpu = code == ErrorCode::gpu_out_of_memory;
    const bool host = code == ErrorCode::out_of_memory || code == ErrorCode::budget_exceeded;
    EXPECT_EQ(thrown(code), std::pair(gpu, host)) << i;
  }
}

TEST_F(MemoryRows, X12_AFullContextEndsTheAnswerAndSaysSo) {
  const Model model = load();
  Context context(model, {.n_ctx = 64});
  const GenerateResult result = generate(context, 20, -1);
  EXPECT_EQ(result.finish_reason, FinishReason::context_full);
  EXPECT_LE(context.token_count(), 64u);
  EXPECT_THROW(generate(context, 1, 1), MullamaError);
}

// Promise K: what the receipts say is what the cache held.
TEST_F(MemoryRows, ReceiptsSayThePagesThatEachRequestHeld) {
  const auto model = engine::LoadedModel::load(path_, {}, Ledger());
  ASSERT_TRUE(model) << model.error().message;
  engine::ContextParams params;
  params.n_ctx = 256;
  params.n_sequences = 4;
  const auto engine = engine::Engine::create(*model, params);
  ASSERT_TRUE(engine) << engine.error().message;
  const uint64_t page =
      backend::KvStore::page_bytes((*model)->definition().program, (*engine)->shape().kv, 0);
  constexpr uint32_t kAnswer = 8;
  std::map<engine::RequestId, uint64_t> wanted;
  for (uint32_t i = 0; i < 4; ++i) {
    engine::Request request;
    request.prompt = some_tokens(10 + 40 * i);
    request.prompt.front() = static_cast<Token>(i + 5);
    request.max_tokens = kAnswer;
    request.ignore_end_of_generation = true;
    // The last token of an answer is never stored.
    const uint64_t stored = request.prompt.size() + kAnswer - 1;
    const auto id = (*engine)->submit(std::move(request));
    ASSERT_TRUE(id);
    wanted[*id] = (stored + backend::kPageTokens - 1) / backend::kPageTokens * page;
  }
  std::vector<engine::Event> events;
  while (*(*engine)->step(events)) {
  }
  size_t finished = 0;
  for (const engine::Event& event : events) {
    if (!event.finish) continue;
    ++finished;
    const engine::Receipt& receipt = event.finish->receipt;
    EXPECT_EQ(receipt.kv_bytes, wanted[event.request]);
    EXPECT_EQ(receipt.tokens_cut, 0u);
    EXPECT_EQ(receipt.peak_scratch, (*model)->scratch_bytes());
  }
  EXPECT_EQ(finished, 4u);
  EXPECT_EQ((*engine)->kv_bytes_used(), 0u);
}

// Promise I: pages are committed as they are used and given back on demand.
TEST_F(MemoryRows, ReleaseIdleGivesThePagesBack) {
  const Model model = load();
  for (const KvCacheType type : {KvCacheType::F16, KvCacheType::Q4_0}) {
    Context context(model, {.n_ctx = 2048, .kv_cache_type = type});
    context.evaluate(some_tokens(1024));
    const MemoryInfo full = context.memory_info();
    EXPECT_GE(pool_of(full, "kv").residency.resident, full.kv_cache_used);
    context.clear();
    EXPECT_EQ(pool_of(context.memory_info(), "kv").residency.resident,
              pool_of(full, "kv").residency.resident);
    context.release_idle();
    EXPECT_EQ(pool_of(context.memory_info(), "kv").residency.resident, 0u) << to_string(type);
    EXPECT_EQ(context.memory_info().kv_cache_size, full.kv_cache_size);
    generate(context, 20, 2);
  }
}

// Row M8: what memory_info prints is what mincore() and smaps say.
TEST_F(MemoryRows, ResidencyIsWhatTheSystemSays) {
  const Model model = load();
  Context context(model, {.n_ctx = 1024});
  context.evaluate(some_tokens(100));
  const MemoryInfo info = context.memory_info();
  for (const memory::Region& region : Ledger::process().regions()) {
    const auto resident = memory::resident_bytes(region.bytes);
    ASSERT_TRUE(resident);
    if (region.pool == Pool::kv) {
      EXPECT_EQ(pool_of(info, "kv").residency.resident, *resident);
    }
    // Of a file mincore() tells what the page cache holds, which is at least what is mapped here.
    if (region.pool == Pool::weights_mapped) {
      EXPECT_LE(pool_of(info, "weights (mapped)").residency.resident, *resident);
    }
  }
  const auto rollup = memory::read_proc_text("/proc/self/smaps_rollup");
  ASSERT_TRUE(rollup);
  const double resident = static_cast<double>(memory::find_number(*rollup, "Rss").value_or(0));
  EXPECT_NEAR(static_cast<double>(info.residency.resident), resident, 1.0 * kMiB);
  uint64_t pools = 0;
  for (const PoolUsage& pool : info.pools) pools += pool.residency.resident;
  EXPECT_EQ(info.residency.resident, pools + info.beyond_pools);
  EXPECT_EQ(info.unaccounted, 0u);
}

}  // namespace
}  // namespace mullama
