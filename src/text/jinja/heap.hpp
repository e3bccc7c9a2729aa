#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace mullama::jinja {

class Heap;
class Container;

/// Anything a value can refer to. Shared by reference within one rendering; literals of a template are shared
/// by all its renderings and never change.
class Object : public std::enable_shared_from_this<Object> {
 public:
  enum class Kind {
    string,
    undefined,
    list,
    tuple,
    dict,
    dict_view,
    range,
    iterator,
    name_space,
    macro,
    function,
    loop,
    cycler,
    joiner,
    activation,
  };

  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object();

  [[nodiscard]] Kind kind() const { return kind_; }

  /// Accounts for `bytes` in total instead of what was accounted for before. Fails at the heap's limit.
  void charge(size_t bytes);
  /// Accounts for `steps` of work on the object. Fails at the heap's limit.
  void work(size_t steps) const;

 protected:
  explicit Object(Kind kind) : kind_(kind) {}
  [[nodiscard]] Heap* heap() const { return heap_; }

 private:
  friend class Heap;
  Kind kind_;
  Heap* heap_ = nullptr;
  size_t charged_ = 0;
};

using Ref = std::shared_ptr<Object>;

/// An object that refers to others, and so may be part of a cycle or of a long chain.
class Container : public Object {
 protected:
  using Object::Object;
  /// Every final class calls this in its destructor: children die in a loop there, not in nested destructors.
  void bury_children();
  /// Moves all references to other objects out.
  virtual void take_children(std::vector<Ref>& out) = 0;

 private:
  friend class Heap;
  Container* previous_ = nullptr;
  Container* next_ = nullptr;
};

/// Accounts for the memory and the work of one rendering, and frees all values at its end, cycles included.
class Heap {
 public:
  Heap(size_t bytes, uint64_t steps) : limit_(bytes), steps_left_(steps) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap();

  template <class T, class... Args>
  [[nodiscard]] std::shared_ptr<T> make(Args&&... args) {
    auto object = std::make_shared<T>(std::forward<Args>(args)...);
    adopt(*object);
    if constexpr (std::is_base_of_v<Container, T>) link(*object);
    object->charge(sizeof(T) + object->content_bytes());
    return object;
  }

  [[nodiscard]] size_t used() const { return used_; }
  /// Fails as if `bytes` were taken, before they are.
  void expect_room(size_t bytes) const;
  void work(uint64_t steps) {
    if (steps > steps_left_) fail_steps();
    steps_left_ -= steps;
  }

 private:
  friend class Object;
  friend class Container;

  void adopt(Object& object) { object.heap_ = this; }
  void link(Container& container);
  void unlink(Container& container);
  void bury(std::vector<Ref>& children);
  void recharge(size_t& charged, size_t bytes);
  [[noreturn]] void fail_steps();

  size_t limit_;
  uint64_t steps_left_;
  size_t used_ = 0;
  Container* first_ = nullptr;
  std::vector<Ref> graveyard_;
  bool burying_ = false;
};

}  // namespace mullama::jinja
