#include "text/jinja/heap.hpp"

#include "text/jinja/failure.hpp"

namespace mullama::jinja {

Object::~Object() {
  if (heap_ != nullptr) heap_->used_ -= charged_;
}

void Object::charge(size_t bytes) {
  if (heap_ != nullptr) heap_->recharge(charged_, bytes);
}

void Object::work(size_t steps) const {
  if (heap_ != nullptr) heap_->work(steps);
}

void Container::bury_children() {
  std::vector<Ref> children;
  take_children(children);
  if (heap() == nullptr) return;
  heap()->unlink(*this);
  heap()->bury(children);
}

Heap::~Heap() {
  while (first_ != nullptr) {
    // Holding the container while its children go keeps a cycle from freeing it under our hands.
    const Ref hold = first_->weak_from_this().lock();
    Container& container = *first_;
    unlink(container);
    std::vector<Ref> children;
    container.take_children(children);
    bury(children);
  }
}

void Heap::expect_room(size_t bytes) const {
  if (bytes > limit_ || used_ > limit_ - bytes) {
    raise(kLimitError, "the template's values would need more than {} bytes", limit_);
  }
}

void Heap::fail_steps() {
  steps_left_ = 0;
  raise(kLimitError, "the template takes too many steps");
}

void Heap::link(Container& container) {
  container.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &container;
  first_ = &container;
}

void Heap::unlink(Container& container) {
  if (container.previous_ != nullptr) container.previous_->next_ = container.next_;
  if (container.next_ != nullptr) container.next_->previous_ = container.previous_;
  if (first_ == &container) first_ = container.next_;
  container.previous_ = container.next_ = nullptr;
}

void Heap::bury(std::vector<Ref>& children) {
  for (auto& child : children) graveyard_.push_back(std::move(child));
  if (burying_) return;
  burying_ = true;
  while (!graveyard_.empty()) {
    const Ref child = std::move(graveyard_.back());
    graveyard_.pop_back();
  }
  burying_ = false;
}

void Heap::recharge(size_t& charged, size_t bytes) {
  if (bytes > charged) expect_room(bytes - charged);
  used_ = used_ - charged + bytes;
  charged = bytes;
}

}  // namespace mullama::jinja
