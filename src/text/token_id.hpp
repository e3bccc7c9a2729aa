#pragma once

#include <cstdint>

namespace mullama::text {

/// Number of a token in its vocabulary.
using TokenId = int32_t;

}  // namespace mullama::text
