#include "text/jinja/loop.hpp"

#include "text/jinja/interpreter.hpp"
#include "text/jinja/scopes.hpp"

namespace mullama::jinja {

bool Loop::advance(Interpreter& interpreter, Value& out) {
  if (!after_.is_missing()) {
    out = std::exchange(after_, Value::missing());
  } else if (!interpreter.next(source_, position_, out)) {
    return false;
  }
  ++index0_;
  before_ = std::move(current_);
  current_ = out;
  return true;
}

size_t Loop::known_length() const {
  return length_ ? *length_ : Interpreter::length(source_).value_or(0);
}

bool Loop::peek(Interpreter& interpreter) {
  if (!after_.is_missing()) return true;
  Value next;
  if (!interpreter.next(source_, position_, next)) return false;
  after_ = std::move(next);
  return true;
}

int64_t Loop::length(Interpreter& interpreter) {
  if (!length_) length_ = Interpreter::length(source_);
  if (!length_) {
    auto rest = interpreter.to_vector(source_);
    length_ = rest.size() + static_cast<size_t>(index0_ + 1) + (after_.is_missing() ? 0 : 1);
    source_ = interpreter.list(std::move(rest));
    position_ = 0;
  }
  return static_cast<int64_t>(*length_);
}

std::optional<Value> Loop::attribute(Interpreter& interpreter, std::string_view name) {
  const auto self = [this] { return Value(shared_from_this()); };
  const auto method = [&](std::string_view called, Function::Body body) {
    return Value(interpreter.heap().make<Function>(called, body, self(), true));
  };
  if (name == "index") return Value(index0_ + 1);
  if (name == "index0") return Value(index0_);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") return Value(!peek(interpreter));
  if (name == "length") return Value(length(interpreter));
  if (name == "revindex") return Value(length(interpreter) - index0_);
  if (name == "revindex0") return Value(length(interpreter) - index0_ - 1);
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "depth0") return Value(depth0_);
  if (name == "previtem") return index0_ == 0 ? interpreter.undefined("there is no previous item") : before_;
  if (name == "nextitem") return peek(interpreter) ? after_ : interpreter.undefined("there is no next item");
  if (name == "cycle") return method("cycle", &Loop::cycle);
  if (name == "changed") return method("changed", &Loop::changed);
  return std::nullopt;
}

Value Loop::cycle(Interpreter&, const Value& self, CallArguments& arguments) {
  if (arguments.positional.empty()) raise(kTypeError, "no items for cycling given");
  const auto index = static_cast<size_t>(self.get<Loop>()->index0_);
  return arguments.positional[index % arguments.positional.size()];
}

Value Loop::changed(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  Loop& loop = *self.get<Loop>();
  Value values = interpreter.tuple(std::move(arguments.positional));
  if (!loop.last_changed_.is_missing() && equal(loop.last_changed_, values)) return Value(false);
  loop.last_changed_ = std::move(values);
  return Value(true);
}

Value Loop::recurse(Interpreter& interpreter, CallArguments& arguments) {
  if (node_ == nullptr) {
    raise(kTypeError, "The loop must have the 'recursive' marker to be called recursively.");
  }
  const BoundArguments bound("loop", arguments, {"iterable"}, 1);
  return interpreter.run_recursive_loop(*node_, bound[0], depth0_ + 1, enclosing_);
}

void Loop::take_children(std::vector<Ref>& out) {
  for (Value* value : {&source_, &current_, &before_, &after_, &last_changed_}) value->move_ref_to(out);
  if (enclosing_) out.push_back(std::move(enclosing_));
}

Interpreter::Flow Interpreter::run_for(const ForNode& node) {
  const Value iterable = evaluate(*node.iterable);
  if (!node.recursive) return run_loop(node, iterable, 0, nullptr);
  write(run_recursive_loop(node, iterable, 0, activation_));
  return Flow::normal;
}

Value Interpreter::run_recursive_loop(const ForNode& node, const Value& iterable, int64_t depth,
                                      const std::shared_ptr<Activation>& enclosing) {
  const Depth nested(*this);
  const Running running(*this, heap_.make<Activation>(enclosing, node.recursive_slots));
  Capture capture(*this);
  run_loop(node, iterable, depth, enclosing);
  return capture.take();
}

/// The elements that pass the loop's test, which is asked when each is due.
Value Interpreter::filtered(const ForNode& node, const Value& iterable) {
  expect_iterable(iterable);
  auto activation = heap_.make<Activation>(activation_, node.test_slots);
  {
    const Running running(*this, activation);
    enter(node.test_frame);
  }
  auto step = [&node](Interpreter& interpreter, Iterator& self, Value& out) {
    const Running running(interpreter, std::static_pointer_cast<Activation>(self.held[1].ref()));
    while (interpreter.next(self.held[0], self.position, out)) {
      interpreter.assign(node.test_target, out);
      if (is_true(interpreter.evaluate(*node.test))) return true;
    }
    return false;
  };
  std::vector<Value> held = {iterable, Value(std::move(activation))};
  return Value(heap_.make<Iterator>("generator", std::move(held), std::move(step)));
}

Interpreter::Flow Interpreter::run_loop(const ForNode& node, const Value& iterable, int64_t depth,
                                        const std::shared_ptr<Activation>& enclosing) {
  expect_iterable(iterable);
  const Value source = node.test ? filtered(node, iterable) : iterable;
  std::shared_ptr<Loop> loop;
  if (node.extended) {
    loop = heap_.make<Loop>(source, depth);
    if (node.recursive) loop->make_recursive(node, enclosing);
  }
  size_t position = 0;
  Value element;
  // As in jinja2, the else branch also runs if every pass ended early.
  bool completed = false;
  while (loop ? loop->advance(*this, element) : next(source, position, element)) {
    assign(node.target, element);
    if (loop) activation_->slots[node.loop_slot] = Value(loop);
    enter(node.body_frame);
    const Flow flow = run(node.body);
    if (flow == Flow::break_loop) break;
    if (flow == Flow::normal) completed = true;
  }
  leave(node.body_frame);
  if (completed || node.otherwise.empty()) return Flow::normal;
  enter(node.otherwise_frame);
  const Flow flow = run(node.otherwise);
  leave(node.otherwise_frame);
  return flow;
}

}  // namespace mullama::jinja
