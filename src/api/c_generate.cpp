#include <cstdlib>

#include "api/c_api.hpp"

using namespace mullama::c_api;

namespace {

/// Copies a result for a caller that frees it with mullama_result_free().
void give(const mullama::GenerateResult& made, mullama_result* result) {
  result->text = copy_text(made.text);
  result->text_size = made.text.size();
  result->tokens = static_cast<mullama_token*>(std::malloc((made.tokens.size() + 1) * sizeof(mullama_token)));
  if (result->tokens == nullptr) {
    mullama_result_free(result);
    throw std::bad_alloc();
  }
  std::copy(made.tokens.begin(), made.tokens.end(), result->tokens);
  result->n_tokens = made.tokens.size();
  result->finish_reason = static_cast<mullama_finish_reason>(made.finish_reason);
  result->seed = made.seed;
  result->prompt_tokens = made.prompt_tokens;
  result->prompt_evaluated = made.prompt_evaluated;
  result->generated_tokens = made.generated_tokens;
  result->drafted_tokens = made.drafted_tokens;
  result->accepted_tokens = made.accepted_tokens;
  result->context_growths = made.receipt.context_growths;
  result->kv_demotions = made.receipt.kv_demotions;
  result->prompt_seconds = made.prompt_seconds;
  result->generate_seconds = made.generate_seconds;
  result->receipt = {made.receipt.kv_bytes, made.receipt.peak_scratch, made.receipt.prefix_bytes_reused,
                     made.receipt.pages_evicted, made.receipt.tokens_cut};
}

/// Runs one of the generating functions and hands its result over.
template <class Generate>
mullama_status generate(mullama_context* context, const mullama_generate_params* params,
                        mullama_token_callback callback, void* user, mullama_result* result,
                        Generate&& body) noexcept {
  return guarded([&] {
    require(context, "context");
    require(result, "result");
    *result = {};
    const mullama::GenerateOptions options = to_cpp(read_params(params, mullama_generate_params_init));
    std::function<bool(const mullama::StreamToken&)> on_token;
    if (callback != nullptr) {
      on_token = [&](const mullama::StreamToken& token) {
        return callback(token.id, token.text.c_str(), token.text.size(), token.logprob, user);
      };
    }
    const mullama::GenerateResult made = body(context->context, options, on_token);
    give(made, result);
  });
}

template <class Start>
mullama_status start(mullama_context* context, const mullama_generate_params* params, mullama_stream** stream,
                     Start&& body) noexcept {
  return guarded([&] {
    require(context, "context");
    require(static_cast<void*>(stream), "stream");
    *stream = nullptr;
    const mullama::GenerateOptions options = to_cpp(read_params(params, mullama_generate_params_init));
    *stream = new mullama_stream{body(context->context, options), {}};
  });
}

}  // namespace

extern "C" {

mullama_status mullama_generate(mullama_context* context, const char* prompt, size_t prompt_size,
                                const mullama_generate_params* params, mullama_token_callback callback,
                                void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    if (prompt_size > 0) require(prompt, "prompt");
                    return on.generate_stream({prompt, prompt_size}, options, on_token);
                  });
}

mullama_status mullama_generate_batch(mullama_context* context, const mullama_batch* prompt,
                                      const mullama_generate_params* params, mullama_token_callback callback,
                                      void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    require(prompt, "prompt");
                    return on.generate_tokens(prompt->batch.tokens(), options, on_token);
                  });
}

mullama_status mullama_chat(mullama_context* context, const char* messages_json,
                            const mullama_generate_params* params, mullama_token_callback callback,
                            void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    require(messages_json, "messages_json");
                    return on.chat(messages_json, options, on_token);
                  });
}

void mullama_result_free(mullama_result* result) {
  if (result == nullptr) return;
  std::free(result->text);
  std::free(result->tokens);
  *result = {};
}

mullama_status mullama_stream_create(mullama_context* context, const char* prompt, size_t prompt_size,
                                     const mullama_generate_params* params, mullama_stream** stream) {
  return start(context, params, stream, [&](mullama::Context& on, const auto& options) {
    if (prompt_size > 0) require(prompt, "prompt");
    return on.stream({prompt, prompt_size}, options);
  });
}

mullama_status mullama_stream_create_batch(mullama_context* context, const mullama_batch* prompt,
                                           const mullama_generate_params* params, mullama_stream** stream) {
  return start(context, params, stream, [&](mullama::Context& on, const auto& options) {
    require(prompt, "prompt");
    return on.stream_tokens(prompt->batch.tokens(), options);
  });
}

mullama_status mullama_stream_create_chat(mullama_context* context, const char* messages_json,
                                          const mullama_generate_params* params, mullama_stream** stream) {
  return start(context, params, stream, [&](mullama::Context& on, const auto& options) {
    require(messages_json, "messages_json");
    return on.stream_chat(messages_json, options);
  });
}

mullama_status mullama_stream_next(mullama_stream* stream, mullama_stream_token* token, bool* has_token) {
  return guarded([&] {
    require(stream, "stream");
    require(token, "token");
    require(has_token, "has_token");
    *token = {-1, "", 0, 0};
    *has_token = false;
    auto piece = stream->stream.next();
    if (!piece) return;
    stream->last = std::move(*piece);
    *token = {stream->last.id, stream->last.text.c_str(), stream->last.text.size(), stream->last.logprob};
    *has_token = true;
  });
}

mullama_status mullama_stream_poll(mullama_stream* stream, bool* ready) {
  return guarded([&] {
    require(stream, "stream");
    require(ready, "ready");
    *ready = stream->stream.poll();
  });
}

mullama_status mullama_stream_stop(mullama_stream* stream) {
  return guarded([&] {
    require(stream, "stream");
    stream->stream.stop();
  });
}

mullama_status mullama_stream_result(const mullama_stream* stream, mullama_result* result) {
  return guarded([&] {
    require(stream, "stream");
    require(result, "result");
    *result = {};
    give(stream->stream.result(), result);
  });
}

void mullama_stream_free(mullama_stream* stream) {
  delete stream;
}

}  // extern "C"
