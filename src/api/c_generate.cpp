#include <cstdlib>

#include "api/c_api.hpp"

using namespace mullama::c_api;

namespace {

/// A result must at least hold what its caller has to free.
constexpr size_t kSmallestResult = offsetof(mullama_result, finish_reason);

void require_result(mullama_result* result) {
  require(result, "result");
  require_size(*result, kSmallestResult);
  write_struct(result, result->struct_size, {});
}

mullama_receipt to_c(const mullama::Receipt& from) {
  return {from.kv_bytes,   from.peak_scratch,    from.prefix_bytes_reused, from.pages_evicted,
          from.tokens_cut, from.context_growths, from.kv_demotions,        {}};
}

/// Copies a result for a caller that frees it with mullama_result_free().
void give(const mullama::GenerateResult& made, mullama_result* result) {
  mullama_result full{};
  full.text_size = made.text.size();
  full.n_tokens = made.tokens.size();
  full.finish_reason = static_cast<mullama_finish_reason>(made.finish_reason);
  full.seed = made.seed;
  full.prompt_tokens = made.prompt_tokens;
  full.prompt_evaluated = made.prompt_evaluated;
  full.generated_tokens = made.generated_tokens;
  full.prompt_seconds = made.prompt_seconds;
  full.generate_seconds = made.generate_seconds;
  full.receipt = to_c(made.receipt);
  full.drafted_tokens = made.drafted_tokens;
  full.accepted_tokens = made.accepted_tokens;
  full.text = copy_text(made.text);
  full.tokens = static_cast<mullama_token*>(std::malloc((made.tokens.size() + 1) * sizeof(mullama_token)));
  if (full.tokens == nullptr) {
    std::free(full.text);
    throw std::bad_alloc();
  }
  std::copy(made.tokens.begin(), made.tokens.end(), full.tokens);
  write_struct(result, result->struct_size, full);
}

/// Runs one of the generating functions and hands its result over.
template <class Generate>
mullama_status generate(mullama_context* context, const mullama_generate_params* params,
                        mullama_token_callback callback, void* user, mullama_result* result,
                        Generate&& body) noexcept {
  return guarded([&] {
    require_result(result);
    require(context, "context");
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

void mullama_result_init(mullama_result* result, size_t struct_size) {
  write_struct(result, struct_size, {});
}
void mullama_stream_token_init(mullama_stream_token* token, size_t struct_size) {
  mullama_stream_token none{};
  none.token = -1;
  none.text = "";
  write_struct(token, struct_size, none);
}

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
  // One that no _init has filled holds nothing of ours.
  if (result == nullptr || !has_size(*result, kSmallestResult)) return;
  std::free(result->text);
  std::free(result->tokens);
  write_struct(result, result->struct_size, {});
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
    require_size(*token);
    mullama_stream_token_init(token, token->struct_size);
    *has_token = false;
    auto piece = stream->stream.next();
    if (!piece) return;
    stream->last = std::move(*piece);
    write_struct(
        token, token->struct_size,
        {0, stream->last.id, stream->last.text.c_str(), stream->last.text.size(), stream->last.logprob});
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
    require_result(result);
    require(stream, "stream");
    give(stream->stream.result(), result);
  });
}

void mullama_stream_free(mullama_stream* stream) {
  delete stream;
}

}  // extern "C"
