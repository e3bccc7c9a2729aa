#pragma once

#include <functional>

#include "base/result.hpp"

namespace mullama::store {

/// Asked now and then by long work; true means stop.
using Canceled = std::function<bool()>;

[[nodiscard]] Status check_canceled(const Canceled& canceled);

}  // namespace mullama::store
