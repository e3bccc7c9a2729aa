#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mullama::backend {

/// Pages of one sequence in one KV group: the page of logical page number first_page + i is pages[i].
/// Position p lies in logical page p / kPageTokens.
struct PageTable {
  std::span<const uint32_t> pages;
  uint32_t first_page = 0;
};

/// Consecutive tokens of one sequence inside a batch.
struct SequenceSlice {
  uint32_t first_row = 0;  ///< Row of its first token in the batch.
  uint32_t tokens = 0;
  uint32_t first_position = 0;        ///< Position of its first token; everything before is in the cache.
  std::span<const PageTable> tables;  ///< One for each KV group, covering up to the last new position.
};

/// What one run of the program computes.
struct Batch {
  std::span<const int32_t> tokens;           ///< Ids, checked against the vocabulary by the engine.
  std::span<const SequenceSlice> sequences;  ///< In the order of their rows; together they cover all tokens.
  std::span<const uint32_t> output_rows;     ///< Rows whose logits (or embeddings) are wanted, ascending.
  bool long_context = false;                 ///< Use the rope tables for long contexts.
  bool embeddings = false;                   ///< The output is the final norm's row instead of logits.
};

}  // namespace mullama::backend
