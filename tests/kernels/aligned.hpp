#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mullama::kernels::testing {

/// Bytes aligned to a cache line, filled with a pattern that no kernel may depend on.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t bytes, uint8_t fill = 0xff)
      : data_(static_cast<uint8_t*>(::operator new (bytes, std::align_val_t{64}))), size_(bytes) {
    for (size_t i = 0; i < bytes; ++i) data_.get()[i] = fill;
  }
  [[nodiscard]] uint8_t* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t size_;
};

}  // namespace mullama::kernels::testing
