#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"

namespace mullama::kernels {
namespace {

struct Scalar {
  using Sum = uint64_t;
  using FloatSum = float;
  using Bytes = int32_t;
  using Halves = float;
  static constexpr uint64_t kInt8Operations = 2;
  static constexpr uint64_t kBf16Operations = 2;

  static Sum zero() { return 0; }
  static FloatSum float_zero() { return 0; }
  static Bytes bytes(int32_t x) { return x; }
  static Halves halves() { return 0.0078125f; }
  static void dot(Sum& sum, Bytes& x, const Bytes& y) {
    __asm__("" : "+r"(x));
    sum += static_cast<uint64_t>(x * y);
  }
  static void dot_halves(FloatSum& sum, const Halves& x, const Halves& y) { sum = __builtin_fmaf(x, y, sum); }
  template <class T>
  static void keep(T& sum) {
    __asm__ volatile("" : : "m"(sum));
  }
  static void keep(Sum& sum) { __asm__ volatile("" : "+r"(sum)); }
  static void fetch(Sum& sum, const unsigned char* line) {
    uint64_t words[8];
    __builtin_memcpy(words, line, 64);
    for (const uint64_t word : words) sum += word;
  }
  static uint64_t total(const Sum& sum) { return sum; }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Scalar>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kScalarProbe{"scalar", probe_int8<Scalar>, probe_bf16<Scalar>, read};

}  // namespace mullama::kernels
