#include <algorithm>
#include <chrono>
#include <cstdio>

#include "mullama/mullama.h"
#include "mullama/mullama.hpp"

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  constexpr int kCalls = 5'000'000;
  const mullama::Model model = mullama::Model::load(argv[1]);
  mullama::Context context(model, {.n_ctx = 512});
  mullama::GenerateOptions options;
  options.max_tokens = 100;
  options.sampler = mullama::SamplerParams::greedy();
  options.ignore_end_of_generation = true;
  double rate = 0;
  for (int round = 0; round < 3; ++round) {
    context.clear();
    mullama::TokenStream stream = context.stream("Once upon a time", options);
    (void)stream.next();
    const double start = seconds();
    int tokens = 0;
    while (stream.next()) ++tokens;
    rate = std::max(rate, tokens / (seconds() - start));
  }
  volatile std::uint32_t sink = 0;
  double start = seconds();
  for (int i = 0; i < kCalls; ++i) sink = context.token_count();
  std::printf("cpp call_ns %.2f tokens_per_second %.2f\n", (seconds() - start) / kCalls * 1e9, rate);

  mullama_model* c_model = nullptr;
  mullama_context* c_context = nullptr;
  if (mullama_model_load(argv[1], nullptr, &c_model) != MULLAMA_OK) return 1;
  if (mullama_context_create(c_model, nullptr, &c_context) != MULLAMA_OK) return 1;
  mullama_generate_params how;
  mullama_generate_params_init(&how, sizeof(how));
  how.max_tokens = 100;
  mullama_sampler_params greedy;
  mullama_sampler_params_init(&greedy, sizeof(greedy));
  greedy.temperature = 0;
  how.sampler = &greedy;
  how.ignore_end_of_generation = true;
  rate = 0;
  for (int round = 0; round < 3; ++round) {
    mullama_context_clear(c_context);
    mullama_stream* stream = nullptr;
    if (mullama_stream_create(c_context, "Once upon a time", 16, &how, &stream) != MULLAMA_OK) return 1;
    mullama_stream_token token;
    mullama_stream_token_init(&token, sizeof(token));
    bool more = false;
    (void)mullama_stream_next(stream, &token, &more);
    start = seconds();
    int tokens = 0;
    while (mullama_stream_next(stream, &token, &more) == MULLAMA_OK && more) ++tokens;
    rate = std::max(rate, tokens / (seconds() - start));
    mullama_stream_free(stream);
  }
  start = seconds();
  for (int i = 0; i < kCalls; ++i) sink = mullama_context_token_count(c_context);
  std::printf("c call_ns %.2f tokens_per_second %.2f\n", (seconds() - start) / kCalls * 1e9, rate);
  (void)sink;
  mullama_context_free(c_context);
  mullama_model_free(c_model);
  return 0;
}
