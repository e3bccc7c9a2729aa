#include "text/jinja/scope.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "text/jinja/failure.hpp"
#include "text/jinja/filters.hpp"
#include "text/jinja/name_walk.hpp"

namespace mullama::jinja {
namespace {

/// A function of the compiled template: what has an activation of its own.
struct FunctionScope {
  uint32_t depth = 0;
  std::map<std::pair<int, std::string>, uint32_t> slots{};

  uint32_t slot(int level, const std::string& name) {
    return slots.try_emplace({level, name}, static_cast<uint32_t>(slots.size())).first->second;
  }
};

/// The names of one frame, or what one branch of a condition adds to them.
class Names {
 public:
  struct Place {
    FunctionScope* function = nullptr;
    uint32_t slot = 0;
  };
  struct Entry {
    enum class How { parameter, resolve, alias, missing };
    How how = How::missing;
    Place source;
    std::string name;
  };

  Names(const Names* parent, FunctionScope& function, int level)
      : parent_(parent), function_(&function), level_(level) {}

  [[nodiscard]] Names branch() const {
    Names names(parent_, *function_, level_);
    names.base_ = this;
    return names;
  }

  [[nodiscard]] FunctionScope& function() const { return *function_; }
  [[nodiscard]] int level() const { return level_; }

  [[nodiscard]] std::optional<Place> find(const std::string& name) const {
    for (const Names* scope = this; scope != nullptr; scope = scope->parent_) {
      if (const auto own = scope->find_own(name)) return Place{scope->function_, *own};
    }
    return std::nullopt;
  }

  uint32_t declare(const std::string& name) {
    stored_.insert(name);
    return define(name, {Entry::How::parameter, {}, name});
  }

  void store(const std::string& name) {
    stored_.insert(name);
    if (find_own(name)) return;
    const auto outer = find_outer(name);
    define(name, outer ? Entry{Entry::How::alias, *outer, name} : Entry{Entry::How::missing, {}, name});
  }

  void load(const std::string& name) {
    if (!find(name)) define(name, {Entry::How::resolve, {}, name});
  }

  /// Takes over what branches of a condition have found.
  void merge(const std::vector<Names>& branches) {
    std::set<std::string> newly_stored;
    for (const auto& branch : branches) {
      for (const auto& name : branch.stored_) {
        if (!is_stored(name)) newly_stored.insert(name);
      }
    }
    for (const auto& branch : branches) {
      for (const auto& [name, slot] : branch.places_) places_[name] = slot;
      for (const auto& [slot, entry] : branch.entries_) entries_[slot] = entry;
      stored_.insert(branch.stored_.begin(), branch.stored_.end());
    }
    // Only some branches assign these, so they begin with what they were before.
    for (const auto& name : newly_stored) {
      const auto outer = find_outer(name);
      entries_[*find_own(name)] =
          outer ? Entry{Entry::How::alias, *outer, name} : Entry{Entry::How::resolve, {}, name};
    }
  }

  [[nodiscard]] Slot slot(const Place& place) const {
    return {function_->depth - place.function->depth, place.slot};
  }

  [[nodiscard]] Frame frame() const {
    Frame frame;
    for (const auto& [slot_index, entry] : entries_) {
      frame.slots.push_back(slot_index);
      switch (entry.how) {
        case Entry::How::parameter:
          break;
        case Entry::How::resolve:
          frame.loads.push_back({Load::How::resolve, slot_index, {}, entry.name});
          break;
        case Entry::How::alias:
          frame.loads.push_back({Load::How::alias, slot_index, slot(entry.source), {}});
          break;
        case Entry::How::missing:
          frame.loads.push_back({Load::How::missing, slot_index, {}, {}});
          break;
      }
    }
    return frame;
  }

 private:
  uint32_t define(const std::string& name, Entry entry) {
    const uint32_t slot_index = function_->slot(level_, name);
    places_[name] = slot_index;
    entries_[slot_index] = std::move(entry);
    return slot_index;
  }

  [[nodiscard]] std::optional<uint32_t> find_own(const std::string& name) const {
    for (const Names* part = this; part != nullptr; part = part->base_) {
      const auto found = part->places_.find(name);
      if (found != part->places_.end()) return found->second;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Place> find_outer(const std::string& name) const {
    return parent_ == nullptr ? std::nullopt : parent_->find(name);
  }

  [[nodiscard]] bool is_stored(const std::string& name) const {
    return stored_.contains(name) || (base_ != nullptr && base_->is_stored(name));
  }

  const Names* parent_;
  const Names* base_ = nullptr;  ///< Of a branch: the names it adds to.
  FunctionScope* function_;
  int level_;
  std::map<std::string, uint32_t> places_;
  std::map<uint32_t, Entry> entries_;
  std::set<std::string> stored_;
};

/// Finds the names of a frame without entering the frames inside it.
class Analysis {
 public:
  explicit Analysis(Names& names) : names_(&names) {}

  void body(const Body& statements) {
    for (const auto& statement : statements) visit(*statement);
  }

  void expression(const Expression& node) {
    if (node.kind == Expression::Kind::name) {
      names_->load(static_cast<const NameNode&>(node).name);
    } else {
      for_each_child(node, [this](const Expression& child) { expression(child); });
    }
  }

  void target(const Expression& node, bool as_parameter) {
    if (node.kind == Expression::Kind::name) {
      const auto& name = static_cast<const NameNode&>(node).name;
      if (as_parameter) {
        names_->declare(name);
      } else {
        names_->store(name);
      }
    } else if (node.kind == Expression::Kind::namespace_reference) {
      names_->load(static_cast<const NamespaceNode&>(node).name);
    } else {
      for_each_child(node, [this, as_parameter](const Expression& child) { target(child, as_parameter); });
    }
  }

  void signature(const MacroNode& macro) {
    for (const auto& parameter : macro.parameters) names_->declare(parameter->name);
    for (const auto& value : macro.defaults) expression(*value);
  }

 private:
  void visit(const Statement& statement) {
    switch (statement.kind) {
      case Statement::Kind::output:
        for (const auto& item : static_cast<const OutputNode&>(statement).items) expression(*item);
        return;
      case Statement::Kind::assign: {
        const auto& node = static_cast<const AssignNode&>(statement);
        expression(*node.value);
        target(*node.target_expression, false);
        return;
      }
      case Statement::Kind::assign_block:
        target(*static_cast<const AssignBlockNode&>(statement).target_expression, false);
        return;
      case Statement::Kind::for_loop:
        expression(*static_cast<const ForNode&>(statement).iterable);
        return;
      case Statement::Kind::condition:
        condition(static_cast<const ConditionNode&>(statement));
        return;
      case Statement::Kind::macro:
        names_->store(static_cast<const MacroNode&>(statement).name);
        return;
      case Statement::Kind::call_block:
        expression(*static_cast<const CallBlockNode&>(statement).call);
        return;
      case Statement::Kind::filter_block:
        expression(*static_cast<const FilterBlockNode&>(statement).filter);
        return;
      case Statement::Kind::with:
        for (const auto& value : static_cast<const WithNode&>(statement).values) expression(*value);
        return;
      default:
        return;
    }
  }

  void condition(const ConditionNode& node) {
    expression(*node.branches.front().test);
    Names& original = *names_;
    // jinja2 sees the elifs as conditions in a branch of their own.
    std::vector<Names> branches(3, original.branch());
    in(branches[0], [&] { body(node.branches.front().body); });
    in(branches[1], [&] {
      for (size_t i = 1; i < node.branches.size(); ++i) elif (node.branches[i]);
    });
    in(branches[2], [&] { body(node.otherwise); });
    original.merge(branches);
  }

  void elif (const ConditionNode::Branch& branch) {
    expression(*branch.test);
    Names& original = *names_;
    std::vector<Names> branches(1, original.branch());
    in(branches[0], [&] { body(branch.body); });
    original.merge(branches);
  }

  template <class Visit>
  void in(Names& names, Visit visit) {
    Names* const outer = std::exchange(names_, &names);
    visit();
    names_ = outer;
  }

  Names* names_;
};

/// What the statement being resolved stands in.
struct Surroundings {
  Names* names = nullptr;
  bool toplevel = false;  ///< In the root or its branches: assignments are exported.
  bool soft = false;      ///< In a branch: unknown filters fail only when they run.
  bool in_loop = false;

  [[nodiscard]] Surroundings inside(Names& inner) const { return {&inner, false, false, in_loop}; }
};

class Resolver {
 public:
  void program(Program& program) {
    FunctionScope function;
    Names names(nullptr, function, 0);
    Analysis(names).body(program.body);
    program.frame = names.frame();
    body(program.body, {&names, true, false, false});
    program.slots = static_cast<uint32_t>(function.slots.size());
  }

 private:
  void body(Body& statements, const Surroundings& at) {
    for (auto& statement : statements) visit(*statement, at);
  }

  void visit(Statement& statement, const Surroundings& at) {
    switch (statement.kind) {
      case Statement::Kind::output:
        for (auto& item : static_cast<OutputNode&>(statement).items) expression(*item, at);
        return;
      case Statement::Kind::assign: {
        auto& node = static_cast<AssignNode&>(statement);
        expression(*node.value, at);
        node.target = target(*node.target_expression, *at.names);
        node.exported = at.toplevel;
        return;
      }
      case Statement::Kind::assign_block:
        return assign_block(static_cast<AssignBlockNode&>(statement), at);
      case Statement::Kind::for_loop:
        return for_loop(static_cast<ForNode&>(statement), at);
      case Statement::Kind::condition:
        return condition(static_cast<ConditionNode&>(statement), at);
      case Statement::Kind::macro: {
        auto& node = static_cast<MacroNode&>(statement);
        macro(node, at);
        node.target = at.names->slot(*at.names->find(node.name));
        node.exported = at.toplevel;
        return;
      }
      case Statement::Kind::call_block:
      case Statement::Kind::generation: {
        auto& node = static_cast<CallBlockNode&>(statement);
        macro(*node.caller, at);
        if (node.call) expression(*node.call, at);
        return;
      }
      case Statement::Kind::filter_block: {
        auto& node = static_cast<FilterBlockNode&>(statement);
        Names names(at.names, at.names->function(), at.names->level() + 1);
        Analysis analysis(names);
        analysis.body(node.body);
        analysis.expression(*node.filter);
        node.frame = names.frame();
        body(node.body, at.inside(names));
        expression(*node.filter, at.inside(names));
        return;
      }
      case Statement::Kind::with:
        return with(static_cast<WithNode&>(statement), at);
      case Statement::Kind::block: {
        auto& node = static_cast<BlockNode&>(statement);
        if (!blocks_.insert(node.name).second) {
          raise_at(node.line, kAssertionError, "block '{}' defined twice", node.name);
        }
        FunctionScope function;
        Names names(nullptr, function, 0);
        Analysis(names).body(node.body);
        node.frame = names.frame();
        body(node.body, {&names, false, false, false});
        node.slots = static_cast<uint32_t>(function.slots.size());
        return;
      }
      case Statement::Kind::break_loop:
        if (!at.in_loop) raise_at(statement.line, kSyntaxError, "'break' outside loop");
        return;
      case Statement::Kind::continue_loop:
        if (!at.in_loop) raise_at(statement.line, kSyntaxError, "'continue' not properly in loop");
        return;
    }
  }

  void assign_block(AssignBlockNode& node, const Surroundings& at) {
    Names names(at.names, at.names->function(), at.names->level() + 1);
    Analysis analysis(names);
    analysis.body(node.body);
    if (node.filter) analysis.expression(*node.filter);
    node.frame = names.frame();
    body(node.body, at.inside(names));
    if (node.filter) expression(*node.filter, at.inside(names));
    node.target = target(*node.target_expression, *at.names);
    node.exported = at.toplevel;
  }

  void for_loop(ForNode& node, const Surroundings& at) {
    for_each_name(node, [](const std::string& name, NameNode::Context context, int line) {
      if (context == NameNode::Context::store && name == "loop") {
        raise_at(line, kAssertionError, "Can't assign to special loop variable in for-loop target");
      }
    });
    FunctionScope own{at.names->function().depth + 1};
    FunctionScope& function = node.recursive ? own : at.names->function();
    const int level = at.names->level() + 1;

    Names names(at.names, function, level);
    node.extended = node.recursive || reads_undeclared(node.body, "loop");
    if (node.extended) node.loop_slot = names.declare("loop");
    Analysis analysis(names);
    analysis.target(*node.target_expression, true);
    analysis.body(node.body);
    node.body_frame = names.frame();
    node.target = target(*node.target_expression, names);

    if (node.test) {
      FunctionScope test_function{function.depth + 1};
      Names test_names(at.names, test_function, level);
      Analysis test_analysis(test_names);
      test_analysis.target(*node.target_expression, true);
      test_analysis.expression(*node.test);
      node.test_frame = test_names.frame();
      node.test_target = target(*node.target_expression, test_names);
      expression(*node.test, at.inside(test_names));
      node.test_slots = static_cast<uint32_t>(test_function.slots.size());
    }

    expression(*node.iterable, at);
    auto inside = at.inside(names);
    inside.in_loop = true;
    body(node.body, inside);

    Names otherwise_names(at.names, function, level);
    Analysis(otherwise_names).body(node.otherwise);
    node.otherwise_frame = otherwise_names.frame();
    auto otherwise = at.inside(otherwise_names);
    if (node.recursive) otherwise.in_loop = false;
    body(node.otherwise, otherwise);
    node.recursive_slots = static_cast<uint32_t>(own.slots.size());
  }

  void condition(ConditionNode& node, const Surroundings& at) {
    auto inside = at;
    inside.soft = true;
    for (auto& branch : node.branches) {
      expression(*branch.test, inside);
      body(branch.body, inside);
    }
    body(node.otherwise, inside);
  }

  void macro(MacroNode& node, const Surroundings& at) {
    FunctionScope function{at.names->function().depth + 1};
    Names names(at.names, function, at.names->level() + 1);
    const auto is_parameter = [&node](std::string_view name) {
      return std::any_of(node.parameters.begin(), node.parameters.end(),
                         [name](const auto& parameter) { return parameter->name == name; });
    };
    {
      Analysis analysis(names);
      analysis.signature(node);
      analysis.body(node.body);
    }
    node.explicit_caller = is_parameter("caller");
    if (reads_undeclared(node.body, "caller")) {
      node.uses_caller = true;
      if (!node.explicit_caller) {
        node.caller_slot = names.declare("caller");
      } else if (!has_default(node, "caller")) {
        raise_at(node.line, kAssertionError,
                 "When defining macros or call blocks the special \"caller\" argument must be omitted or be "
                 "given a "
                 "default.");
      }
    }
    if (reads_undeclared(node.body, "kwargs") && !is_parameter("kwargs")) {
      node.uses_keywords = true;
      node.keywords_slot = names.declare("kwargs");
    }
    if (reads_undeclared(node.body, "varargs") && !is_parameter("varargs")) {
      node.uses_positionals = true;
      node.positionals_slot = names.declare("varargs");
    }
    node.frame = names.frame();
    for (const auto& parameter : node.parameters)
      node.parameter_slots.push_back(names.find(parameter->name)->slot);
    const Surroundings inside{&names, false, false, false};
    for (auto& value : node.defaults) expression(*value, inside);
    body(node.body, inside);
    node.slots = static_cast<uint32_t>(function.slots.size());
  }

  static bool has_default(const MacroNode& node, std::string_view name) {
    const size_t required = node.parameters.size() - node.defaults.size();
    for (size_t i = required; i < node.parameters.size(); ++i) {
      if (node.parameters[i]->name == name) return true;
    }
    return false;
  }

  void with(WithNode& node, const Surroundings& at) {
    Names names(at.names, at.names->function(), at.names->level() + 1);
    Analysis analysis(names);
    for (const auto& item : node.target_expressions) analysis.target(*item, true);
    analysis.body(node.body);
    node.frame = names.frame();
    for (const auto& item : node.target_expressions) node.targets.push_back(target(*item, names));
    for (auto& value : node.values) expression(*value, at);
    body(node.body, at.inside(names));
  }

  Target target(const Expression& node, const Names& names) const {
    Target result;
    result.line = node.line;
    if (node.kind == Expression::Kind::name) {
      result.name = static_cast<const NameNode&>(node).name;
      result.slot = names.slot(*names.find(result.name));
    } else if (node.kind == Expression::Kind::namespace_reference) {
      const auto& reference = static_cast<const NamespaceNode&>(node);
      result.kind = Target::Kind::namespace_attribute;
      result.name = reference.attribute;
      result.slot = names.slot(*names.find(reference.name));
    } else {
      result.kind = Target::Kind::tuple;
      for (const auto& item : static_cast<const ItemsNode&>(node).items)
        result.items.push_back(target(*item, names));
    }
    return result;
  }

  void expression(Expression& node, const Surroundings& at) {
    auto inside = at;
    switch (node.kind) {
      case Expression::Kind::name: {
        auto& name = static_cast<NameNode&>(node);
        name.slot = at.names->slot(*at.names->find(name.name));
        return;
      }
      case Expression::Kind::conditional:
        inside.soft = true;
        break;
      case Expression::Kind::filter: {
        auto& filter = static_cast<FilterNode&>(node);
        filter.function = find_filter(filter.name);
        if (filter.function == nullptr && !at.soft) {
          raise_at(node.line, kAssertionError, "No filter named '{}'.", filter.name);
        }
        break;
      }
      case Expression::Kind::test: {
        auto& test = static_cast<TestNode&>(node);
        test.function = find_test(test.name);
        if (test.function == nullptr && !at.soft) {
          raise_at(node.line, kAssertionError, "No test named '{}'.", test.name);
        }
        break;
      }
      default:
        break;
    }
    for_each_child(node, [this, &inside](Expression& child) { expression(child, inside); });
  }

  std::set<std::string> blocks_;
};

}  // namespace

void resolve_names(Program& program) {
  Resolver().program(program);
}

}  // namespace mullama::jinja
