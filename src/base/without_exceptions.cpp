#include "base/without_exceptions.hpp"

namespace mullama {

tl::unexpected<Error> no_memory_for(const char* what) noexcept {
  try {
    return fail(ErrorCode::out_of_memory, "insufficient memory for {}", what);
  } catch (const std::bad_alloc&) {
    // Short enough to stand in the string itself.
    return tl::unexpected<Error>(Error{ErrorCode::out_of_memory, "out of memory"});
  }
}

}  // namespace mullama
