#pragma once

#include <string>
#include <type_traits>

#include "base/result.hpp"
#include "mullama/mullama.hpp"

namespace mullama::api {

/// Throws the kind of MullamaError that belongs to the code.
[[noreturn]] void throw_error(const Error& error);

/// The value, or the exception.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw_error(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

[[nodiscard]] StatusCode status_code(ErrorCode code);

}  // namespace mullama::api
