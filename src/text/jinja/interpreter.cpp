#include "text/jinja/interpreter.hpp"

#include "text/jinja/globals.hpp"
#include "text/jinja/json.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/scopes.hpp"

namespace mullama::jinja {

std::string Interpreter::render(const nlohmann::ordered_json& variables) {
  add_globals(*this, given_);
  for (const auto& [name, value] : variables.items()) given_[name] = from_json(*this, value);
  activation_ = heap_.make<Activation>(nullptr, program_.slots);
  std::string output;
  out_ = &output;
  enter(program_.frame);
  run(program_.body);
  return output;
}

void Interpreter::fail_depth() {
  // The counter has moved although the guard will not be destroyed.
  --depth_;
  raise(kRecursionError, "maximum recursion depth exceeded");
}

void Interpreter::write(std::string_view text) {
  if (text.size() > options_.limits.output_bytes - output_bytes_) {
    raise(kLimitError, "the template's output is longer than {} bytes", options_.limits.output_bytes);
  }
  heap_.work(1 + text.size() / 64);
  output_bytes_ += text.size();
  *out_ += text;
}

void Interpreter::write(const Value& value) {
  if (value.is_string()) {
    write(value.text());
  } else {
    write(str(value));
  }
}

Interpreter::Flow Interpreter::run(const Body& body) {
  for (const auto& statement : body) {
    if (const Flow flow = run(*statement); flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run(const Statement& statement) {
  const Depth nested(*this);
  heap_.work(1);
  line_ = statement.line;
  switch (statement.kind) {
    case Statement::Kind::output:
      run_output(static_cast<const OutputNode&>(statement));
      return Flow::normal;
    case Statement::Kind::assign:
      run_assign(static_cast<const AssignNode&>(statement));
      return Flow::normal;
    case Statement::Kind::assign_block:
      return run_assign_block(static_cast<const AssignBlockNode&>(statement));
    case Statement::Kind::for_loop:
      return run_for(static_cast<const ForNode&>(statement));
    case Statement::Kind::condition:
      return run_condition(static_cast<const ConditionNode&>(statement));
    case Statement::Kind::macro: {
      const auto& node = static_cast<const MacroNode&>(statement);
      variable(node.target) = make_macro(node);
      if (node.exported) exported_[node.name] = variable(node.target);
      return Flow::normal;
    }
    case Statement::Kind::call_block:
    case Statement::Kind::generation:
      run_call_block(static_cast<const CallBlockNode&>(statement));
      return Flow::normal;
    case Statement::Kind::filter_block:
      return run_filter_block(static_cast<const FilterBlockNode&>(statement));
    case Statement::Kind::with:
      return run_with(static_cast<const WithNode&>(statement));
    case Statement::Kind::block:
      run_block(static_cast<const BlockNode&>(statement));
      return Flow::normal;
    case Statement::Kind::break_loop:
      return Flow::break_loop;
    case Statement::Kind::continue_loop:
      return Flow::continue_loop;
  }
  return Flow::normal;
}

void Interpreter::run_output(const OutputNode& node) {
  for (const auto& item : node.items) {
    if (item->kind == Expression::Kind::constant) {
      write(static_cast<const ConstantNode&>(*item).value);
    } else {
      write(evaluate(*item));
    }
  }
}

void Interpreter::run_assign(const AssignNode& node) {
  check_namespaces(node.target);
  const Value value = evaluate(*node.value);
  assign(node.target, value);
  if (node.exported) export_names(node.target);
}

Interpreter::Flow Interpreter::run_assign_block(const AssignBlockNode& node) {
  enter(node.frame);
  Value text;
  {
    Capture capture(*this);
    if (const Flow flow = run(node.body); flow != Flow::normal) return flow;
    text = capture.take();
  }
  if (node.filter) text = evaluate_filter(static_cast<const FilterNode&>(*node.filter), &text);
  if (node.target.kind == Target::Kind::namespace_attribute) check_namespaces(node.target);
  assign(node.target, text);
  if (node.exported) export_names(node.target);
  leave(node.frame);
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_condition(const ConditionNode& node) {
  for (const auto& branch : node.branches) {
    if (is_true(evaluate(*branch.test))) return run(branch.body);
  }
  return run(node.otherwise);
}

void Interpreter::run_call_block(const CallBlockNode& node) {
  const Value caller = make_macro(*node.caller);
  if (node.kind == Statement::Kind::call_block) {
    write(evaluate_call(static_cast<const CallNode&>(*node.call), &caller));
  } else {
    CallArguments none;
    write(call(caller, none));
  }
}

Interpreter::Flow Interpreter::run_filter_block(const FilterBlockNode& node) {
  enter(node.frame);
  Value text;
  {
    Capture capture(*this);
    if (const Flow flow = run(node.body); flow != Flow::normal) return flow;
    text = capture.take();
  }
  write(evaluate_filter(static_cast<const FilterNode&>(*node.filter), &text));
  leave(node.frame);
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_with(const WithNode& node) {
  enter(node.frame);
  for (size_t i = 0; i < node.values.size(); ++i) assign(node.targets[i], evaluate(*node.values[i]));
  const Flow flow = run(node.body);
  leave(node.frame);
  return flow;
}

void Interpreter::run_block(const BlockNode& node) {
  const Running running(*this, heap_.make<Activation>(nullptr, node.slots));
  enter(node.frame);
  run(node.body);
}

Value& Interpreter::variable(Slot slot) {
  Activation* activation = activation_.get();
  for (uint32_t i = 0; i < slot.hops; ++i) activation = activation->parent.get();
  return activation->slots[slot.index];
}

Value Interpreter::resolve(const std::string& name) const {
  if (const auto found = exported_.find(name); found != exported_.end()) return found->second;
  if (const auto found = given_.find(name); found != given_.end()) return found->second;
  return Value::missing();
}

void Interpreter::enter(const Frame& frame) {
  heap_.work(frame.loads.size());
  for (const auto& load : frame.loads) {
    switch (load.how) {
      case Load::How::resolve:
        activation_->slots[load.slot] = resolve(load.name);
        break;
      case Load::How::alias:
        activation_->slots[load.slot] = Value(variable(load.source));
        break;
      case Load::How::missing:
        activation_->slots[load.slot] = Value::missing();
        break;
    }
  }
}

void Interpreter::leave(const Frame& frame) {
  for (const uint32_t slot : frame.slots) activation_->slots[slot] = Value::missing();
}

void Interpreter::check_namespaces(const Target& target) {
  if (target.kind == Target::Kind::namespace_attribute && variable(target.slot).get<Namespace>() == nullptr) {
    raise_at(target.line, kRuntimeError, "cannot assign attribute on non-namespace object");
  }
  for (const auto& item : target.items) check_namespaces(item);
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (target.kind == Target::Kind::name) {
    variable(target.slot) = value;
    return;
  }
  if (target.kind == Target::Kind::namespace_attribute) {
    set_namespace_attribute(*this, *variable(target.slot).get<Namespace>(), target.name, value);
    return;
  }
  if (!is_iterable(value)) raise(kTypeError, "cannot unpack non-iterable {} object", type_name(value));
  std::vector<Value> items;
  size_t position = 0;
  Value item;
  while (items.size() <= target.items.size() && next(value, position, item)) items.push_back(item);
  if (items.size() > target.items.size()) {
    raise(kValueError, "too many values to unpack (expected {})", target.items.size());
  }
  if (items.size() < target.items.size()) {
    raise(kValueError, "not enough values to unpack (expected {}, got {})", target.items.size(),
          items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i]);
}

void Interpreter::export_names(const Target& target) {
  if (target.kind == Target::Kind::name) exported_[target.name] = variable(target.slot);
  for (const auto& item : target.items) export_names(item);
}

Value Interpreter::make_macro(const MacroNode& node) {
  return Value(heap_.make<Macro>(node, activation_));
}

Value Interpreter::call_macro(Macro& macro, CallArguments& arguments) {
  const MacroNode& node = macro.node;
  const auto take_keyword = [&arguments](std::string_view name) -> std::optional<Value> {
    for (auto entry = arguments.keywords.begin(); entry != arguments.keywords.end(); ++entry) {
      if (entry->first != name) continue;
      std::optional<Value> value = std::move(entry->second);
      arguments.keywords.erase(entry);
      return value;
    }
    return std::nullopt;
  };
  const std::string called = node.name.empty() ? "None" : text_repr(node.name);
  auto activation = heap_.make<Activation>(macro.closure, node.slots);
  auto& slots = activation->slots;
  const size_t given = arguments.positional.size();
  const size_t expected = node.parameters.size();
  for (size_t i = 0; i < expected; ++i) {
    auto& slot = slots[node.parameter_slots[i]];
    if (i < given) {
      slot = arguments.positional[i];
    } else if (auto value = take_keyword(node.parameters[i]->name)) {
      slot = std::move(*value);
    }
  }
  if (node.uses_caller && !node.explicit_caller) {
    auto caller = take_keyword("caller");
    slots[node.caller_slot] =
        caller && !caller->is_none() ? std::move(*caller) : undefined("No caller defined", kUndefinedError);
  }
  if (node.uses_keywords) {
    auto keywords = heap_.make<Dict>();
    for (auto& [name, value] : arguments.keywords) keywords->set(text(name), std::move(value));
    keywords->recharge();
    slots[node.keywords_slot] = Value(std::move(keywords));
  } else if (!arguments.keywords.empty()) {
    const auto& name = arguments.keywords.front().first;
    if (take_keyword("caller")) {
      raise(
          kTypeError,
          "macro {} was invoked with two values for the special caller argument. This is most likely a bug.",
          called);
    }
    raise(kTypeError, "macro {} takes no keyword argument {}", called, text_repr(name));
  }
  if (node.uses_positionals) {
    std::vector<Value> rest;
    if (given > expected)
      rest.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(expected),
                  arguments.positional.end());
    slots[node.positionals_slot] = tuple(std::move(rest));
  } else if (given > expected) {
    raise(kTypeError, "macro {} takes not more than {} argument(s)", called, expected);
  }

  const Depth nested(*this);
  const int line = line_;
  const Running running(*this, activation);
  Capture capture(*this);
  enter(node.frame);
  const size_t required = expected - node.defaults.size();
  for (size_t i = 0; i < expected; ++i) {
    const uint32_t slot = node.parameter_slots[i];
    if (!activation->slots[slot].is_missing()) continue;
    activation->slots[slot] =
        i >= required
            ? evaluate(*node.defaults[i - required])
            : undefined(fmt::format("parameter {} was not provided", text_repr(node.parameters[i]->name)));
  }
  run(node.body);
  line_ = line;
  return capture.take();
}

}  // namespace mullama::jinja
