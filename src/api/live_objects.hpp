#pragma once

#include <atomic>
#include <cstdint>

namespace mullama::api {

/// Counts the objects of one kind that are alive; a member of each.
template <class Tag>
class Counted {
 public:
  Counted() { ++count(); }
  Counted(const Counted&) { ++count(); }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --count(); }
  static std::atomic<uint64_t>& count() {
    static std::atomic<uint64_t> alive{0};
    return alive;
  }
};

struct ModelTag {};
struct ContextTag {};
struct BatchTag {};
struct SamplerTag {};
struct StreamTag {};

}  // namespace mullama::api
