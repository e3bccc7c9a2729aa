#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "base/result.hpp"

namespace mullama {

/// The error of a failed allocation; needs no memory itself.
[[nodiscard]] tl::unexpected<Error> no_memory_for(const char* what) noexcept;

/// Runs `body`, which returns a Result; a failed allocation of the heap inside it becomes `out_of_memory` for
/// `what`.
template <class Body>
[[nodiscard]] std::invoke_result_t<Body> without_exceptions(const char* what, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return no_memory_for(what);
  }
}

}  // namespace mullama
