#include "memory/heap.hpp"

#include <malloc.h>

namespace mullama::memory {

void keep_heap_small() {
#ifdef __GLIBC__
  ::mallopt(M_ARENA_MAX, 2);
#endif
}

void trim_heap() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace mullama::memory
