#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/random_data.hpp"
#include "kernels/sizes.hpp"

namespace mullama::kernels::testing {

/// A paged cache of one head filled with random keys and values through a table's own stores, in shuffled
/// pages.
class AttendCase {
 public:
  struct Cache {
    KvType key_type;
    KvType value_type;
    uint32_t key_dim;
    uint32_t value_dim;
    uint32_t page_tokens;
    uint32_t positions;
    uint64_t seed;
  };
  struct Question {
    uint32_t tokens = 1;
    uint32_t group = 1;
    uint32_t first_position = 0;
    uint32_t window = 0;
    float scale = 1.0f;
    float softcap = 0.0f;
    const float* sink = nullptr;
  };

  AttendCase(const KernelTable& table, const Cache& cache)
      : table_(table),
        cache_(cache),
        random_(cache.seed),
        key_page_bytes_(kv_row_bytes(cache.key_type, cache.key_dim) * cache.page_tokens),
        value_page_bytes_(kv_row_bytes(cache.value_type, cache.value_dim) * cache.page_tokens),
        pages_((cache.positions + cache.page_tokens - 1) / cache.page_tokens),
        keys_(key_page_bytes_ * pages_.size()),
        values_(value_page_bytes_ * pages_.size()),
        key_rows_(random_.activations(size_t{cache.positions} * cache.key_dim)),
        value_rows_(random_.activations(size_t{cache.positions} * cache.value_dim)) {
    for (size_t i = 0; i < pages_.size(); ++i) pages_[i] = static_cast<uint32_t>(i);
    for (size_t i = pages_.size(); i > 1; --i)
      std::swap(pages_[i - 1], pages_[random_.below(static_cast<uint32_t>(i))]);
    // Large outliers would make softmax trivial.
    for (float& x : key_rows_) x = std::clamp(x, -2.0f, 2.0f);
    for (float& x : value_rows_) x = std::clamp(x, -2.0f, 2.0f);
    for (uint32_t p = 0; p < cache.positions; ++p) {
      table_.store_key(view(), pages_[p / cache.page_tokens], p % cache.page_tokens, key(p));
      table_.store_value(view(), pages_[p / cache.page_tokens], p % cache.page_tokens, value(p));
    }
  }

  [[nodiscard]] const float* key(uint32_t position) const {
    return key_rows_.data() + size_t{position} * cache_.key_dim;
  }
  [[nodiscard]] const float* value(uint32_t position) const {
    return value_rows_.data() + size_t{position} * cache_.value_dim;
  }
  [[nodiscard]] const AlignedBytes& key_bytes() const { return keys_; }
  [[nodiscard]] const AlignedBytes& value_bytes() const { return values_; }
  [[nodiscard]] KvView view() const {
    return {cache_.key_type, cache_.value_type, cache_.key_dim,  cache_.value_dim, cache_.page_tokens,
            keys_.data(),    values_.data(),    key_page_bytes_, value_page_bytes_};
  }
  std::vector<float> queries(uint32_t tokens, uint32_t group) {
    auto out = random_.activations(size_t{tokens} * group * cache_.key_dim);
    for (float& x : out) x = std::clamp(x, -4.0f, 4.0f);
    return out;
  }

  /// [tokens][group][value_dim], computed range by range and merged as the engine does.
  [[nodiscard]] std::vector<float> attend(const std::vector<float>& query, const Question& question) const {
    const uint32_t columns = question.tokens * question.group;
    const uint32_t end = question.first_position + question.tokens;
    const uint32_t seen_from = question.window > 0 && question.first_position + 1 > question.window
                                   ? (question.first_position + 1 - question.window) / 32 * 32
                                   : 0;
    State total(columns, cache_.value_dim);
    State part(columns, cache_.value_dim);
    const AlignedBytes workspace(attend_workspace_bytes(columns, cache_.key_dim, cache_.value_dim));
    bool first = true;
    for (uint32_t begin = seen_from; begin < end; begin = (begin / kAttendRange + 1) * kAttendRange) {
      AttendArgs args{};
      args.kv = view();
      args.first_page = begin / cache_.page_tokens;
      args.pages = pages_.data() + args.first_page;
      args.query = query.data();
      args.query_stride = size_t{question.group} * cache_.key_dim;
      args.tokens = question.tokens;
      args.group = question.group;
      args.first_position = question.first_position;
      args.kv_begin = begin;
      args.kv_end = std::min(end, (begin / kAttendRange + 1) * kAttendRange);
      args.window = question.window;
      args.scale = question.scale;
      args.softcap = question.softcap;
      args.state = first ? total.view() : part.view();
      args.workspace = workspace.data();
      table_.attend(args);
      if (!first) table_.attend_merge(total.view(), part.view(), columns, cache_.value_dim);
      first = false;
    }
    std::vector<float> out(size_t{columns} * cache_.value_dim);
    for (uint32_t c = 0; c < columns; ++c) {
      table_.attend_finish(total.view(), c, cache_.value_dim, question.sink,
                           out.data() + size_t{c} * cache_.value_dim);
    }
    return out;
  }

 private:
  struct State {
    State(uint32_t columns, uint32_t dim)
        : maximum(columns), total(columns), weighted(size_t{columns} * dim, 9.0f) {}
    [[nodiscard]] AttendState view() { return {maximum.data(), total.data(), weighted.data()}; }
    std::vector<float> maximum;
    std::vector<float> total;
    std::vector<float> weighted;
  };

  const KernelTable& table_;
  Cache cache_;
  Random random_;
  size_t key_page_bytes_;
  size_t value_page_bytes_;
  std::vector<uint32_t> pages_;
  AlignedBytes keys_;
  AlignedBytes values_;
  std::vector<float> key_rows_;
  std::vector<float> value_rows_;
};

}  // namespace mullama::kernels::testing
