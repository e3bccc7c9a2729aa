#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "mullama/mullama.h"
#include "mullama/mullama.hpp"

/// What the files of the C API share: its handles, and the border where exceptions become statuses.

struct mullama_model {
  mullama::Model model;
};
struct mullama_context {
  mullama::Context context;
};
struct mullama_batch {
  mullama::Batch batch;
};
struct mullama_sampler {
  mullama::SamplerChain chain;
  uint32_t vocabulary;
};

struct mullama_stream {
  mullama::TokenStream stream;
  mullama::StreamToken last;
};

namespace mullama::c_api {

/// Keeps the message for the calling thread.
mullama_status failed(mullama_status status, const char* message) noexcept;
void forget_error() noexcept;

/// Runs `body`; every exception becomes a status and a message.
template <class Body>
mullama_status guarded(Body&& body) noexcept {
  try {
    forget_error();
    body();
    return MULLAMA_OK;
  } catch (const mullama::MullamaError& error) {
    return failed(static_cast<mullama_status>(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return failed(MULLAMA_OUT_OF_MEMORY, "insufficient memory");
  } catch (const std::exception& error) {
    return failed(MULLAMA_INTERNAL, error.what());
  } catch (...) {
    return failed(MULLAMA_INTERNAL, "unknown error");
  }
}

/// The value of a function that has no status to return; `fallback` if it throws.
template <class Value, class Body>
Value guarded_value(Value fallback, Body&& body) noexcept {
  Value value = fallback;
  guarded([&] { value = body(); });
  return value;
}

[[noreturn]] void invalid(const char* message);
void require(const void* pointer, const char* name);

/// A caller built against an older header passes a smaller struct: its fields lead, the rest keep their
/// defaults.
template <class T>
T read_params(const T* given, void (*init)(T*)) {
  T params;
  init(&params);
  if (given == nullptr) return params;
  if (given->struct_size < sizeof(size_t) || given->struct_size > 2 * sizeof(T)) {
    invalid("struct_size is wrong; fill the struct with its _init function first");
  }
  std::memcpy(&params, given, std::min(given->struct_size, sizeof(T)));
  return params;
}

[[nodiscard]] std::string text_or_empty(const char* text);
/// Copies for callers that free them with mullama_string_free().
[[nodiscard]] char* copy_text(const std::string& text);

[[nodiscard]] mullama::KvCacheType to_cpp(mullama_kv_cache_type type);
[[nodiscard]] mullama::ModelParams to_cpp(const mullama_model_params& params);
[[nodiscard]] mullama::ContextParams to_cpp(const mullama_context_params& params);
[[nodiscard]] mullama::SamplerParams to_cpp(const mullama_sampler_params& params);
[[nodiscard]] mullama::GenerateOptions to_cpp(const mullama_generate_params& params);

}  // namespace mullama::c_api
