#include "backend/backend.hpp"

#include "backend/cpu/executor.hpp"
#include "base/thread_team.hpp"

namespace mullama::backend {

/// Stacks outlive the threads that run on them.
struct Backend::Team {
  memory::Buffer stacks;
  std::unique_ptr<ThreadTeam> threads;
};

Backend::Backend() = default;
Backend::~Backend() = default;

Result<std::unique_ptr<Backend>> Backend::create(const BackendOptions& options, memory::Ledger& ledger) {
  constexpr unsigned kMaxThreads = 512;
  const unsigned threads = options.threads == 0 ? ThreadTeam::default_workers() : options.threads;
  if (threads > kMaxThreads) {
    return fail(ErrorCode::invalid_argument, "{} threads are too many; at most {} are allowed", threads,
                kMaxThreads);
  }
  std::unique_ptr<Backend> backend(new Backend());
  MULLAMA_ASSIGN(backend->kernels_, kernels::select_kernels(options.isa));
  backend->team_ = std::make_unique<Team>();
  if (threads > 1) {
    MULLAMA_ASSIGN(backend->team_->stacks,
                   ledger.take(memory::Pool::threads, ThreadTeam::stack_bytes_needed(threads),
                               memory::Placement::lazy, "thread stacks"));
  }
  const memory::Buffer& stacks = backend->team_->stacks;
  MULLAMA_ASSIGN(backend->team_->threads, ThreadTeam::create(threads, {stacks.data(), stacks.size()}));
  return backend;
}

uint64_t Backend::thread_bytes_needed(unsigned threads) {
  return memory::Buffer::footprint(ThreadTeam::stack_bytes_needed(threads), memory::Placement::lazy);
}

uint64_t Backend::scratch_bytes_needed(const Program& program, const std::vector<Matrix>& weights,
                                       uint32_t max_tokens, unsigned threads) {
  return cpu::ScratchLayout::of(program, weights, max_tokens, threads).total;
}

Result<Scratch> Backend::make_scratch(const Program& program, const std::vector<Matrix>& weights,
                                      uint32_t max_tokens, memory::Ledger& ledger) const {
  Scratch scratch;
  scratch.max_tokens_ = max_tokens;
  MULLAMA_ASSIGN(scratch.buffer_, ledger.take(memory::Pool::scratch,
                                              scratch_bytes_needed(program, weights, max_tokens, threads()),
                                              memory::Placement::lazy, "activations of one step"));
  return scratch;
}

Status Backend::run(const Program& program, const std::vector<Matrix>& weights, const Batch& batch,
                    KvStore& kv, Scratch& scratch, std::span<float> output, const std::atomic<bool>* cancel) {
  MULLAMA_CHECK(!batch.tokens.empty() && batch.tokens.size() <= scratch.max_tokens_);
  const uint32_t width = batch.embeddings ? program.embedding_width : program.vocabulary;
  MULLAMA_CHECK(output.size() >= batch.output_rows.size() * width);
  const auto layout = cpu::ScratchLayout::of(program, weights, scratch.max_tokens_, threads());
  cpu::Executor executor(*kernels_, *team_->threads, program, weights, batch, kv, scratch.buffer_.data(),
                         layout, output, cancel);
  return executor.run();
}

void Backend::for_each(size_t count, const std::function<void(size_t)>& work) const {
  if (count == 1) return work(0);
  std::atomic<size_t> next{0};
  team_->threads->run_elastic([&](unsigned) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
  });
}

unsigned Backend::threads() const {
  return team_->threads->workers();
}
const char* Backend::isa() const {
  return kernels_->isa;
}

}  // namespace mullama::backend
