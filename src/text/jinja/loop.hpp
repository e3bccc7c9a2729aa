#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.hpp"

namespace mullama::jinja {

struct ForNode;

/// The `loop` variable. It pulls the elements, and looks one ahead when it is asked for what follows.
class Loop final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::loop; }
  Loop(Value elements, int64_t depth) : Container(Kind::loop), source_(std::move(elements)), depth0_(depth) {}
  ~Loop() override { bury_children(); }

  /// The next element, or false at the end.
  bool advance(Interpreter& interpreter, Value& out);
  [[nodiscard]] int64_t index0() const { return index0_; }
  /// 0 if only running the loop would tell.
  [[nodiscard]] size_t known_length() const;
  /// Lets loop(...) render the body for other values.
  void make_recursive(const ForNode& node, std::shared_ptr<Activation> enclosing) {
    node_ = &node;
    enclosing_ = std::move(enclosing);
  }

  /// A property or method of `loop`; nullopt if there is none of that name.
  [[nodiscard]] std::optional<Value> attribute(Interpreter& interpreter, std::string_view name);
  /// loop(values) in a recursive loop.
  [[nodiscard]] Value recurse(Interpreter& interpreter, CallArguments& arguments);
  [[nodiscard]] size_t content_bytes() const { return 0; }

 private:
  void take_children(std::vector<Ref>& out) override;
  [[nodiscard]] bool peek(Interpreter& interpreter);
  [[nodiscard]] int64_t length(Interpreter& interpreter);
  static Value cycle(Interpreter& interpreter, const Value& self, CallArguments& arguments);
  static Value changed(Interpreter& interpreter, const Value& self, CallArguments& arguments);

  Value source_;
  size_t position_ = 0;
  int64_t index0_ = -1;
  int64_t depth0_;
  std::optional<size_t> length_;
  Value current_ = Value::missing();
  Value before_ = Value::missing();
  Value after_ = Value::missing();
  Value last_changed_ = Value::missing();
  const ForNode* node_ = nullptr;
  std::shared_ptr<Activation> enclosing_;
};

}  // namespace mullama::jinja
