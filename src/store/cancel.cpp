#include "store/cancel.hpp"

namespace mullama::store {

Status check_canceled(const Canceled& canceled) {
  if (canceled && canceled()) return fail(ErrorCode::canceled, "interrupted");
  return {};
}

}  // namespace mullama::store
