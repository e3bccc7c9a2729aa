#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace mullama {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "mullama: internal error: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace mullama
