#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/program.hpp"
#include "base/result.hpp"
#include "kernels/kernels.hpp"
#include "memory/ledger.hpp"

namespace mullama::backend {

/// Positions a KV page holds, in every layer of its group.
inline constexpr uint32_t kPageTokens = 32;

/// How the cache is to be stored.
struct KvParams {
  kernels::KvType key_type = kernels::KvType::f16;
  kernels::KvType value_type = kernels::KvType::f16;
  std::vector<uint32_t> group_pages;  ///< Pages of each KvGroup.
  bool rotate = false;                ///< Hadamard rotation of q, k and v before quantizing.
};

/// Keys and values of all layers: one lazily committed buffer. A page number addresses the same page in every
/// layer of its group; who owns which page is the engine's business.
class KvStore {
 public:
  /// Bytes of the whole store, or an error that names the layer and type that do not go together.
  [[nodiscard]] static Result<uint64_t> bytes_needed(const Program& program, const KvParams& params);
  /// Bytes one page takes in all layers of group `group`.
  [[nodiscard]] static uint64_t page_bytes(const Program& program, const KvParams& params, uint32_t group);
  [[nodiscard]] static Result<KvStore> create(const Program& program, const KvParams& params,
                                              memory::Ledger& ledger);

  /// The cells of `layer` for one KV head.
  [[nodiscard]] kernels::KvView view(uint32_t layer, uint32_t head) const;
  [[nodiscard]] const KvParams& params() const { return params_; }
  [[nodiscard]] const memory::Buffer& buffer() const { return buffer_; }
  [[nodiscard]] uint32_t pages(uint32_t group) const { return params_.group_pages[group]; }

  /// Copies page `from` to page `to` in all layers of `group` (copy on write).
  void copy_page(uint32_t group, uint32_t from, uint32_t to);
  /// Gives the physical memory of pages [page, page + count) back to the system, where they fill whole system
  /// pages together.
  void release_pages(uint32_t group, uint32_t page, uint32_t count);
  /// Overwrites a page with a pattern that would show if another sequence read it. For tests.
  void poison_page(uint32_t group, uint32_t page);

 private:
  struct LayerPlace {
    size_t key_offset = 0;
    size_t value_offset = 0;
    size_t key_head_bytes = 0;  // one page of one head
    size_t value_head_bytes = 0;
    KvLayer layer;
  };
  template <class Visit>
  void for_each_region(uint32_t group, uint32_t page, uint32_t count, Visit&& visit) const;

  KvParams params_;
  std::vector<LayerPlace> places_;
  memory::Buffer buffer_;
};

}  // namespace mullama::backend
