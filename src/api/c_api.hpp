#pragma once

#include <algorithm>
#include <cstddef>
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
[[noreturn]] void unsupported(const char* message);
void require(const void* pointer, const char* name);

/// More than any struct will have grown by.
inline constexpr size_t kMostGrowth = 1024;

/// Whether a struct that begins with its size can be one of ours, older or newer, and not a forgotten _init.
template <class T>
[[nodiscard]] bool has_size(const T& given, size_t smallest = sizeof(size_t)) {
  return given.struct_size >= smallest && given.struct_size <= sizeof(T) + kMostGrowth;
}
template <class T>
void require_size(const T& given, size_t smallest = sizeof(size_t)) {
  if (!has_size(given, smallest))
    invalid("struct_size is wrong; fill the struct with its _init function first");
}

/// Fills a caller's struct of `size` bytes; what its header has beyond ours is zero.
template <class T>
void write_struct(T* out, size_t size, T values) noexcept {
  if (out == nullptr || size < sizeof(size_t)) return;
  values.struct_size = size;
  auto* const bytes = reinterpret_cast<std::byte*>(out);
  std::memcpy(bytes, &values, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
}

/// A caller built against an older header passes a smaller struct: its fields lead, the rest keep their
/// defaults. One of a newer header may leave what we do not know at zero, as our _init has set it.
template <class T>
T read_params(const T* given, void (*init)(T*, size_t)) {
  T params;
  init(&params, sizeof(T));
  if (given == nullptr) return params;
  require_size(*given);
  const size_t size = given->struct_size;
  const auto* const bytes = reinterpret_cast<const std::byte*>(given);
  if (size > sizeof(T) &&
      std::any_of(bytes + sizeof(T), bytes + size, [](std::byte byte) { return byte != std::byte{0}; })) {
    unsupported(
        "an option is set that this version of the library does not know: the program was built "
        "against a newer one");
  }
  std::memcpy(&params, bytes, std::min(size, sizeof(T)));
  return params;
}

[[nodiscard]] std::string text_or_empty(const char* text);
/// Copies for callers that free them with mullama_string_free().
[[nodiscard]] char* copy_text(const std::string& text);
[[nodiscard]] mullama_residency to_c(const mullama::Residency& from);

[[nodiscard]] mullama::KvCacheType to_cpp(mullama_kv_cache_type type);
[[nodiscard]] mullama::ModelParams to_cpp(const mullama_model_params& params);
[[nodiscard]] mullama::ContextParams to_cpp(const mullama_context_params& params);
[[nodiscard]] mullama::SamplerParams to_cpp(const mullama_sampler_params& params);
[[nodiscard]] mullama::GenerateOptions to_cpp(const mullama_generate_params& params);

}  // namespace mullama::c_api
