#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/heap.hpp"

namespace mullama::jinja {

class String;
class Interpreter;
struct MacroNode;
struct CallArguments;

/// What an expression evaluates to: None, a bool, a 64-bit int, a float, or a reference to an object.
/// `Missing` is a variable that has not been assigned; it never escapes from variable lookup.
class Value {
 public:
  struct None {};
  struct Missing {};

  Value() : data_(None{}) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(Ref object) : data_(std::move(object)) {}
  Value(const void*) = delete;
  [[nodiscard]] static Value missing() {
    Value value;
    value.data_ = Missing{};
    return value;
  }

  [[nodiscard]] bool is_none() const { return std::holds_alternative<None>(data_); }
  [[nodiscard]] bool is_missing() const { return std::holds_alternative<Missing>(data_); }
  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(data_); }
  [[nodiscard]] bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  [[nodiscard]] bool is_float() const { return std::holds_alternative<double>(data_); }
  [[nodiscard]] bool is_object() const { return std::holds_alternative<Ref>(data_); }
  [[nodiscard]] bool is_string() const { return is(Object::Kind::string); }
  [[nodiscard]] bool is_undefined() const { return is(Object::Kind::undefined); }
  [[nodiscard]] bool is(Object::Kind kind) const { return is_object() && object().kind() == kind; }

  /// Preconditions: the value is of that kind.
  [[nodiscard]] bool as_bool() const { return std::get<bool>(data_); }
  [[nodiscard]] int64_t as_int() const { return std::get<int64_t>(data_); }
  [[nodiscard]] double as_float() const { return std::get<double>(data_); }
  [[nodiscard]] Object& object() const { return *std::get<Ref>(data_); }
  [[nodiscard]] const Ref& ref() const { return std::get<Ref>(data_); }
  [[nodiscard]] const String& string() const;
  [[nodiscard]] std::string_view text() const;
  /// The object as T if it is of T's kind.
  template <class T>
  [[nodiscard]] T* get() const {
    return is_object() && T::accepts(object().kind()) ? static_cast<T*>(&object()) : nullptr;
  }

  /// A bool or an int as an int, as Python's arithmetic sees it.
  [[nodiscard]] std::optional<int64_t> integral() const;
  /// Any number as a float.
  [[nodiscard]] std::optional<double> number() const;

  void move_ref_to(std::vector<Ref>& out) {
    if (is_object()) out.push_back(std::move(std::get<Ref>(data_)));
    data_ = None{};
  }

 private:
  std::variant<None, Missing, bool, int64_t, double, Ref> data_;
};

/// A str, or a Markup if `safe`: text that escapes what is added to it.
class String final : public Object {
 public:
  static bool accepts(Kind kind) { return kind == Kind::string; }
  explicit String(std::string text, bool safe = false);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool safe() const { return safe_; }
  [[nodiscard]] bool ascii() const { return ascii_; }
  /// In code points.
  [[nodiscard]] size_t length() const { return length_; }
  [[nodiscard]] size_t content_bytes() const { return text_.capacity(); }

 private:
  std::string text_;
  bool safe_;
  bool ascii_;
  size_t length_;
};

/// The result of a lookup that found nothing: prints as nothing, is false and empty, fails with its message
/// when used.
class Undefined final : public Object {
 public:
  static bool accepts(Kind kind) { return kind == Kind::undefined; }
  Undefined(std::string message, const char* error)
      : Object(Kind::undefined), message_(std::move(message)), error_(error) {}

  [[noreturn]] void fail() const;
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] size_t content_bytes() const { return message_.capacity(); }

 private:
  std::string message_;
  const char* error_;
};

/// A list or a tuple.
class Sequence final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::list || kind == Kind::tuple; }
  Sequence(Kind kind, std::vector<Value> values) : Container(kind), items(std::move(values)) {}
  ~Sequence() override { bury_children(); }

  [[nodiscard]] size_t content_bytes() const { return items.capacity() * sizeof(Value); }
  void recharge() { charge(sizeof(*this) + content_bytes()); }

  std::vector<Value> items;
  bool group = false;  ///< A tuple of groupby, whose items are also called grouper and list.

 private:
  void take_children(std::vector<Ref>& out) override;
};

/// A dict: entries in the order of insertion, found by equality of keys.
class Dict final : public Container {
 public:
  using Entry = std::pair<Value, Value>;
  static bool accepts(Kind kind) { return kind == Kind::dict; }
  Dict() : Container(Kind::dict) {}
  ~Dict() override { bury_children(); }

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
  /// Fails with TypeError if the key cannot be hashed. Does not account; call recharge() when done.
  void set(Value key, Value value);
  /// Removes an entry; nullopt if there is none.
  std::optional<Value> erase(const Value& key);
  void clear();
  [[nodiscard]] size_t content_bytes() const {
    return entries_.capacity() * sizeof(Entry) + index_.size() * 4 * sizeof(size_t);
  }
  void recharge() { charge(sizeof(*this) + content_bytes()); }

 private:
  void take_children(std::vector<Ref>& out) override;
  [[nodiscard]] std::optional<size_t> position(const Value& key) const;
  void rebuild_index();

  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, size_t> index_;  ///< Hash to position; empty while a scan is as fast.
};

/// What keys(), values() and items() return.
class DictView final : public Container {
 public:
  enum class Part { keys, values, items };
  static bool accepts(Kind kind) { return kind == Kind::dict_view; }
  DictView(Value of, Part which) : Container(Kind::dict_view), dict_(std::move(of)), part_(which) {}
  ~DictView() override { bury_children(); }

  [[nodiscard]] const Dict& dict() const { return *dict_.get<Dict>(); }
  [[nodiscard]] Part part() const { return part_; }
  [[nodiscard]] size_t content_bytes() const { return 0; }

 private:
  void take_children(std::vector<Ref>& out) override { dict_.move_ref_to(out); }
  Value dict_;
  Part part_;
};

class Range final : public Object {
 public:
  static bool accepts(Kind kind) { return kind == Kind::range; }
  Range(int64_t from, int64_t to, int64_t by, size_t items)
      : Object(Kind::range), start(from), stop(to), step(by), count(items) {}
  [[nodiscard]] int64_t at(size_t i) const { return start + static_cast<int64_t>(i) * step; }
  [[nodiscard]] size_t content_bytes() const { return 0; }

  const int64_t start;
  const int64_t stop;
  const int64_t step;
  const size_t count;
};

/// A generator: yields values once, computing each when it is asked for.
class Iterator final : public Container {
 public:
  /// Puts the next value into `out`, or returns false at the end.
  using Next = std::function<bool(Interpreter&, Iterator& self, Value& out)>;
  static bool accepts(Kind kind) { return kind == Kind::iterator; }
  Iterator(const char* name, std::vector<Value> values, Next next)
      : Container(Kind::iterator), type_name(name), held(std::move(values)), next_(std::move(next)) {}
  ~Iterator() override { bury_children(); }

  bool next(Interpreter& interpreter, Value& out);
  [[nodiscard]] size_t content_bytes() const { return held.capacity() * sizeof(Value); }

  const char* type_name;    ///< As Python's type() calls it.
  std::vector<Value> held;  ///< What `next` works on; it must not capture references itself.
  size_t position = 0;

 private:
  void take_children(std::vector<Ref>& out) override;
  Next next_;
  bool finished_ = false;
  bool running_ = false;
};

class Namespace final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::name_space; }
  explicit Namespace(std::shared_ptr<Dict> names)
      : Container(Kind::name_space), attributes(std::move(names)) {}
  ~Namespace() override { bury_children(); }
  [[nodiscard]] size_t content_bytes() const { return 0; }

  std::shared_ptr<Dict> attributes;

 private:
  void take_children(std::vector<Ref>& out) override { out.push_back(std::move(attributes)); }
};

/// The variables of one call of a function: the template's root, a macro, a block.
class Activation final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::activation; }
  Activation(std::shared_ptr<Activation> enclosing, size_t count)
      : Container(Kind::activation), parent(std::move(enclosing)), slots(count, Value::missing()) {}
  ~Activation() override { bury_children(); }
  [[nodiscard]] size_t content_bytes() const { return slots.capacity() * sizeof(Value); }

  std::shared_ptr<Activation> parent;
  std::vector<Value> slots;

 private:
  void take_children(std::vector<Ref>& out) override;
};

class Macro final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::macro; }
  Macro(const MacroNode& definition, std::shared_ptr<Activation> scope)
      : Container(Kind::macro), node(definition), closure(std::move(scope)) {}
  ~Macro() override { bury_children(); }
  [[nodiscard]] size_t content_bytes() const { return 0; }

  const MacroNode& node;
  std::shared_ptr<Activation> closure;

 private:
  void take_children(std::vector<Ref>& out) override { out.push_back(std::move(closure)); }
};

/// A function of ours: a global, or a method bound to `self`.
class Function final : public Container {
 public:
  using Body = Value (*)(Interpreter&, const Value& self, CallArguments&);
  static bool accepts(Kind kind) { return kind == Kind::function; }
  Function(std::string_view called, Body code, Value bound, bool is_method)
      : Container(Kind::function), name(called), body(code), self(std::move(bound)), method(is_method) {}
  ~Function() override { bury_children(); }
  [[nodiscard]] size_t content_bytes() const { return 0; }

  std::string_view name;  ///< Of a table that outlives every template.
  Body body;
  Value self;
  bool method;

 private:
  void take_children(std::vector<Ref>& out) override { self.move_ref_to(out); }
};

class Cycler final : public Container {
 public:
  static bool accepts(Kind kind) { return kind == Kind::cycler; }
  explicit Cycler(std::vector<Value> values) : Container(Kind::cycler), items(std::move(values)) {}
  ~Cycler() override { bury_children(); }
  [[nodiscard]] size_t content_bytes() const { return items.capacity() * sizeof(Value); }

  std::vector<Value> items;
  size_t position = 0;

 private:
  void take_children(std::vector<Ref>& out) override;
};

class Joiner final : public Object {
 public:
  static bool accepts(Kind kind) { return kind == Kind::joiner; }
  explicit Joiner(std::string text) : Object(Kind::joiner), separator(std::move(text)) {}
  [[nodiscard]] size_t content_bytes() const { return separator.capacity(); }

  std::string separator;
  bool used = false;
};

/// Python's name of the type: "str", "NoneType", "builtin_function_or_method".
[[nodiscard]] std::string_view type_name(const Value& value);
/// As jinja2 names it in messages about missing attributes: "str object", "None".
[[nodiscard]] std::string object_type_name(const Value& value);

[[nodiscard]] bool is_true(const Value& value);
/// Python's ==. Fails where structures nest too deep.
[[nodiscard]] bool equal(const Value& left, const Value& right);
[[nodiscard]] bool identical(const Value& left, const Value& right);
enum class Order { less, less_equal, greater, greater_equal };
/// Python's ordering; TypeError where the types have none.
[[nodiscard]] bool ordered(const Value& left, Order order, const Value& right);
/// Fails with TypeError for lists and dicts.
[[nodiscard]] size_t hash(const Value& value);

/// How deep nested values may be compared, printed or converted.
inline constexpr size_t kMaxNesting = 200;

}  // namespace mullama::jinja
