#pragma once

namespace mullama::memory {

/// Has the C library's heap, which is in no pool, keep two arenas for all threads instead of up to eight for
/// each processor: every arena holds on to what its busiest moment took. For processes that run for long.
void keep_heap_small();

/// Gives free pages of the heap back to the system. What a model's loading and its requests took from it is
/// free when the model has gone, but stays with the process otherwise.
void trim_heap();

}  // namespace mullama::memory
