#include "backend/kv_store.hpp"

#include <cstring>

#include "base/checked.hpp"

namespace mullama::backend {

namespace {

// Layers start on a cache line.
constexpr size_t kLayerAlignment = 64;

size_t key_page_bytes(const KvLayer& layer, kernels::KvType type) {
  return kernels::kv_row_bytes(type, layer.key_dim) * kPageTokens;
}
size_t value_page_bytes(const KvLayer& layer, kernels::KvType type) {
  return kernels::kv_row_bytes(type, layer.value_dim) * kPageTokens;
}

}  // namespace

Result<uint64_t> KvStore::bytes_needed(const Program& program, const KvParams& params) {
  uint64_t total = 0;
  for (size_t i = 0; i < program.kv_layers.size(); ++i) {
    const KvLayer& layer = program.kv_layers[i];
    const size_t key = key_page_bytes(layer, params.key_type);
    const size_t value = value_page_bytes(layer, params.value_type);
    if (key == 0 || (value == 0 && layer.value_dim != 0)) {
      return fail(
          ErrorCode::unsupported,
          "KV type {} cannot hold layer {}, whose head size {} is not a multiple of 32; use f16, bf16 or f32",
          kernels::kv_type_name(key == 0 ? params.key_type : params.value_type), i,
          key == 0 ? layer.key_dim : layer.value_dim);
    }
    for (const size_t page : {key, value}) {
      const auto bytes = checked_mul(uint64_t{page} * layer.kv_heads, params.group_pages[layer.group]);
      const auto aligned = bytes ? checked_align(*bytes, kLayerAlignment) : std::nullopt;
      const auto sum = aligned ? checked_add(total, *aligned) : std::nullopt;
      if (!sum)
        return fail(ErrorCode::invalid_argument, "a KV cache of {} pages overflows",
                    params.group_pages[layer.group]);
      total = *sum;
    }
  }
  return total;
}

uint64_t KvStore::page_bytes(const Program& program, const KvParams& params, uint32_t group) {
  uint64_t total = 0;
  for (const KvLayer& layer : program.kv_layers) {
    if (layer.group != group) continue;
    total += uint64_t{layer.kv_heads} *
             (key_page_bytes(layer, params.key_type) + value_page_bytes(layer, params.value_type));
  }
  return total;
}

Result<KvStore> KvStore::create(const Program& program, const KvParams& params, memory::Ledger& ledger) {
  MULLAMA_ASSIGN(const uint64_t bytes, bytes_needed(program, params));
  KvStore store;
  store.params_ = params;
  MULLAMA_ASSIGN(store.buffer_,
                 ledger.take(memory::Pool::kv, bytes, memory::Placement::lazy, "the KV cache"));
  size_t offset = 0;
  for (const KvLayer& layer : program.kv_layers) {
    LayerPlace place;
    place.layer = layer;
    place.key_head_bytes = key_page_bytes(layer, params.key_type);
    place.value_head_bytes = value_page_bytes(layer, params.value_type);
    const size_t pages = params.group_pages[layer.group];
    place.key_offset = offset;
    offset += round_up(place.key_head_bytes * layer.kv_heads * pages, kLayerAlignment);
    place.value_offset = offset;
    offset += round_up(place.value_head_bytes * layer.kv_heads * pages, kLayerAlignment);
    store.places_.push_back(place);
  }
  return store;
}

kernels::KvView KvStore::view(uint32_t layer, uint32_t head) const {
  const LayerPlace& place = places_[layer];
  auto* const base = reinterpret_cast<uint8_t*>(buffer_.data());
  kernels::KvView view{};
  view.key_type = params_.key_type;
  view.value_type = params_.value_type;
  view.key_dim = place.layer.key_dim;
  view.value_dim = place.layer.value_dim;
  view.page_tokens = kPageTokens;
  view.keys = base + place.key_offset + head * place.key_head_bytes;
  view.values = base + place.value_offset + head * place.value_head_bytes;
  view.key_page_bytes = place.key_head_bytes * place.layer.kv_heads;
  view.value_page_bytes = place.value_head_bytes * place.layer.kv_heads;
  return view;
}

template <class Visit>
void KvStore::for_each_region(uint32_t group, uint32_t page, uint32_t count, Visit&& visit) const {
  for (const LayerPlace& place : places_) {
    if (place.layer.group != group) continue;
    const size_t keys = place.key_head_bytes * place.layer.kv_heads;
    const size_t values = place.value_head_bytes * place.layer.kv_heads;
    visit(place.key_offset + page * keys, keys * count);
    visit(place.value_offset + page * values, values * count);
  }
}

void KvStore::copy_page(uint32_t group, uint32_t from, uint32_t to) {
  for (const LayerPlace& place : places_) {
    if (place.layer.group != group) continue;
    const size_t keys = place.key_head_bytes * place.layer.kv_heads;
    const size_t values = place.value_head_bytes * place.layer.kv_heads;
    std::byte* const base = buffer_.data();
    std::memcpy(base + place.key_offset + to * keys, base + place.key_offset + from * keys, keys);
    std::memcpy(base + place.value_offset + to * values, base + place.value_offset + from * values, values);
  }
}

void KvStore::release_pages(uint32_t group, uint32_t page, uint32_t count) {
  for_each_region(group, page, count,
                  [&](size_t offset, size_t bytes) { buffer_.release_pages(offset, bytes); });
}

void KvStore::poison_page(uint32_t group, uint32_t page) {
  // All ones is a NaN in every float type and the most negative scale in the quantized ones.
  for_each_region(group, page, 1,
                  [&](size_t offset, size_t bytes) { std::memset(buffer_.data() + offset, 0xff, bytes); });
}

}  // namespace mullama::backend
