#include "text/jinja/value.hpp"

#include <algorithm>
#include <cmath>

#include "text/jinja/failure.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

/// Dicts up to this size are scanned; larger ones are indexed.
constexpr size_t kScannedEntries = 8;

void take_all(std::vector<Value>& values, std::vector<Ref>& out) {
  for (auto& value : values) value.move_ref_to(out);
  values.clear();
}

[[noreturn]] void fail_nesting(std::string_view action) {
  raise(kRecursionError, "maximum recursion depth exceeded while {}: values nest deeper than {}", action,
        kMaxNesting);
}

bool equal_at(const Value& left, const Value& right, size_t depth);

/// Work on text is counted by blocks of this many bytes.
constexpr size_t kTextBlock = 64;

bool equal_texts(const String& left, const String& right) {
  if (left.text().size() != right.text().size()) return false;
  left.work(left.text().size() / kTextBlock);
  return left.text() == right.text();
}

bool equal_items(const Sequence& left, const Sequence& right, size_t depth) {
  if (left.items.size() != right.items.size()) return false;
  left.work(left.items.size());
  return std::equal(
      left.items.begin(), left.items.end(), right.items.begin(),
      [depth](const Value& a, const Value& b) { return identical(a, b) || equal_at(a, b, depth); });
}

bool equal_dicts(const Dict& left, const Dict& right, size_t depth) {
  if (left.entries().size() != right.entries().size()) return false;
  left.work(left.entries().size());
  return std::all_of(left.entries().begin(), left.entries().end(), [&right, depth](const Dict::Entry& entry) {
    const Value* other = right.find(entry.first);
    return other != nullptr && (identical(entry.second, *other) || equal_at(entry.second, *other, depth));
  });
}

bool equal_ranges(const Range& left, const Range& right) {
  if (left.count != right.count) return false;
  if (left.count == 0) return true;
  return left.start == right.start && (left.count == 1 || left.step == right.step);
}

bool equal_objects(Object& left, Object& right, size_t depth) {
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Object::Kind::string:
      return equal_texts(static_cast<String&>(left), static_cast<String&>(right));
    case Object::Kind::undefined:
      return true;
    case Object::Kind::list:
    case Object::Kind::tuple:
      return &left == &right ||
             equal_items(static_cast<Sequence&>(left), static_cast<Sequence&>(right), depth);
    case Object::Kind::dict:
      return &left == &right || equal_dicts(static_cast<Dict&>(left), static_cast<Dict&>(right), depth);
    case Object::Kind::range:
      return equal_ranges(static_cast<Range&>(left), static_cast<Range&>(right));
    default:
      return &left == &right;
  }
}

/// Wide enough for both an int and a float without loss.
std::optional<long double> wide_number(const Value& value) {
  if (const auto integer = value.integral()) return static_cast<long double>(*integer);
  if (value.is_float()) return static_cast<long double>(value.as_float());
  return std::nullopt;
}

bool equal_at(const Value& left, const Value& right, size_t depth) {
  if (depth > kMaxNesting) fail_nesting("comparing");
  if (left.is_object() || right.is_object()) {
    return left.is_object() && right.is_object() && equal_objects(left.object(), right.object(), depth + 1);
  }
  const auto a = wide_number(left);
  const auto b = wide_number(right);
  if (a && b) return *a == *b;
  return left.is_none() && right.is_none();
}

template <class T>
bool ordered_as(const T& left, Order order, const T& right) {
  switch (order) {
    case Order::less:
      return left < right;
    case Order::less_equal:
      return left <= right;
    case Order::greater:
      return left > right;
    default:
      return left >= right;
  }
}

std::string_view symbol(Order order) {
  switch (order) {
    case Order::less:
      return "<";
    case Order::less_equal:
      return "<=";
    case Order::greater:
      return ">";
    default:
      return ">=";
  }
}

bool ordered_at(const Value& left, Order order, const Value& right, size_t depth) {
  if (depth > kMaxNesting) fail_nesting("comparing");
  if (const auto* undefined = left.get<Undefined>()) undefined->fail();
  if (const auto* undefined = right.get<Undefined>()) undefined->fail();
  const auto a = wide_number(left);
  const auto b = wide_number(right);
  if (a && b) return ordered_as(*a, order, *b);
  // The order of UTF-8 bytes is the order of code points.
  if (left.is_string() && right.is_string()) return ordered_as(left.text(), order, right.text());
  const auto* first = left.get<Sequence>();
  const auto* second = right.get<Sequence>();
  if (first == nullptr || second == nullptr || first->kind() != second->kind()) {
    raise(kTypeError, "'{}' not supported between instances of '{}' and '{}'", symbol(order), type_name(left),
          type_name(right));
  }
  first->work(first->items.size());
  const auto [x, y] =
      std::mismatch(first->items.begin(), first->items.end(), second->items.begin(), second->items.end(),
                    [](const Value& p, const Value& q) { return identical(p, q) || equal(p, q); });
  if (x != first->items.end() && y != second->items.end()) return ordered_at(*x, order, *y, depth + 1);
  return ordered_as(first->items.size(), order, second->items.size());
}

size_t mix(size_t seed, size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2));
}

size_t hash_at(const Value& value, size_t depth) {
  if (depth > kMaxNesting) fail_nesting("hashing");
  if (const auto integer = value.integral()) return std::hash<int64_t>()(*integer);
  if (value.is_float()) {
    const double number = value.as_float();
    const bool whole = number == std::trunc(number) && std::abs(number) < 0x1p62;
    return whole ? std::hash<int64_t>()(static_cast<int64_t>(number)) : std::hash<double>()(number);
  }
  if (!value.is_object()) return 0;
  switch (value.object().kind()) {
    case Object::Kind::string:
      value.object().work(value.text().size() / kTextBlock);
      return std::hash<std::string_view>()(value.text());
    case Object::Kind::undefined:
      return 1;
    case Object::Kind::tuple: {
      size_t seed = 2;
      value.object().work(value.get<Sequence>()->items.size());
      for (const auto& item : value.get<Sequence>()->items) seed = mix(seed, hash_at(item, depth + 1));
      return seed;
    }
    case Object::Kind::range: {
      const auto& range = *value.get<Range>();
      return mix(range.count, range.count == 0 ? 0 : static_cast<size_t>(range.start));
    }
    case Object::Kind::list:
    case Object::Kind::dict:
    case Object::Kind::dict_view:
      raise(kTypeError, "unhashable type: '{}'", type_name(value));
    default:
      return std::hash<const void*>()(&value.object());
  }
}

}  // namespace

const String& Value::string() const {
  return static_cast<const String&>(object());
}
std::string_view Value::text() const {
  return string().text();
}

std::optional<int64_t> Value::integral() const {
  if (is_int()) return as_int();
  if (is_bool()) return as_bool() ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (is_float()) return as_float();
  if (const auto integer = integral()) return static_cast<double>(*integer);
  return std::nullopt;
}

String::String(std::string text, bool safe) : Object(Kind::string), text_(std::move(text)), safe_(safe) {
  length_ = count_code_points(text_);
  ascii_ = length_ == text_.size();
}

void Undefined::fail() const {
  throw Failure{error_, message_, 0};
}

void Sequence::take_children(std::vector<Ref>& out) {
  take_all(items, out);
}

const Value* Dict::find(const Value& key) const {
  const auto found = position(key);
  return found ? &entries_[*found].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  const auto matches = [key](const Entry& entry) {
    return entry.first.is_string() && entry.first.text() == key;
  };
  if (index_.empty()) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), matches);
    return found == entries_.end() ? nullptr : &found->second;
  }
  const auto [begin, end] = index_.equal_range(std::hash<std::string_view>()(key));
  for (auto candidate = begin; candidate != end; ++candidate) {
    if (matches(entries_[candidate->second])) return &entries_[candidate->second].second;
  }
  return nullptr;
}

std::optional<size_t> Dict::position(const Value& key) const {
  const size_t code = hash(key);
  const auto matches = [&key](const Entry& entry) {
    return identical(entry.first, key) || equal(entry.first, key);
  };
  if (index_.empty()) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), matches);
    if (found == entries_.end()) return std::nullopt;
    return static_cast<size_t>(found - entries_.begin());
  }
  const auto [begin, end] = index_.equal_range(code);
  for (auto candidate = begin; candidate != end; ++candidate) {
    if (matches(entries_[candidate->second])) return candidate->second;
  }
  return std::nullopt;
}

void Dict::set(Value key, Value value) {
  if (const auto found = position(key)) {
    entries_[*found].second = std::move(value);
    return;
  }
  const size_t code = hash(key);
  entries_.emplace_back(std::move(key), std::move(value));
  if (!index_.empty()) {
    index_.emplace(code, entries_.size() - 1);
  } else if (entries_.size() > kScannedEntries) {
    rebuild_index();
  }
}

std::optional<Value> Dict::erase(const Value& key) {
  const auto found = position(key);
  if (!found) return std::nullopt;
  Value value = std::move(entries_[*found].second);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(*found));
  rebuild_index();
  return value;
}

void Dict::clear() {
  index_.clear();
  entries_.clear();
}

void Dict::rebuild_index() {
  index_.clear();
  if (entries_.size() <= kScannedEntries) return;
  index_.reserve(entries_.size() * 2);
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash(entries_[i].first), i);
}

void Dict::take_children(std::vector<Ref>& out) {
  for (auto& [key, value] : entries_) {
    key.move_ref_to(out);
    value.move_ref_to(out);
  }
  clear();
}

void Iterator::take_children(std::vector<Ref>& out) {
  finished_ = true;
  take_all(held, out);
}

void Activation::take_children(std::vector<Ref>& out) {
  if (parent) out.push_back(std::move(parent));
  take_all(slots, out);
}

void Cycler::take_children(std::vector<Ref>& out) {
  take_all(items, out);
}

std::string_view type_name(const Value& value) {
  if (value.is_bool()) return "bool";
  if (value.is_int()) return "int";
  if (value.is_float()) return "float";
  if (!value.is_object()) return "NoneType";
  switch (value.object().kind()) {
    case Object::Kind::string:
      return value.string().safe() ? "Markup" : "str";
    case Object::Kind::undefined:
      return "Undefined";
    case Object::Kind::list:
      return "list";
    case Object::Kind::tuple:
      return value.get<Sequence>()->group ? "_GroupTuple" : "tuple";
    case Object::Kind::dict:
      return "dict";
    case Object::Kind::dict_view:
      switch (value.get<DictView>()->part()) {
        case DictView::Part::keys:
          return "dict_keys";
        case DictView::Part::values:
          return "dict_values";
        default:
          return "dict_items";
      }
    case Object::Kind::range:
      return "range";
    case Object::Kind::iterator:
      return value.get<Iterator>()->type_name;
    case Object::Kind::name_space:
      return "TemplateNamespace";
    case Object::Kind::macro:
      return "Macro";
    case Object::Kind::function:
      return value.get<Function>()->method ? "builtin_function_or_method" : "function";
    case Object::Kind::loop:
      return "LoopContext";
    case Object::Kind::cycler:
      return "Cycler";
    case Object::Kind::joiner:
      return "Joiner";
    case Object::Kind::activation:
      return "function";
  }
  return "object";
}

std::string object_type_name(const Value& value) {
  if (value.is_none()) return "None";
  std::string_view module;
  if (value.is_object()) {
    switch (value.object().kind()) {
      case Object::Kind::string:
        if (value.string().safe()) module = "markupsafe.";
        break;
      case Object::Kind::macro:
      case Object::Kind::loop:
        module = "jinja2.runtime.";
        break;
      case Object::Kind::cycler:
      case Object::Kind::joiner:
        module = "jinja2.utils.";
        break;
      default:
        break;
    }
  }
  return fmt::format("{}{} object", module, type_name(value));
}

bool is_true(const Value& value) {
  if (value.is_bool()) return value.as_bool();
  if (value.is_int()) return value.as_int() != 0;
  if (value.is_float()) return value.as_float() != 0;
  if (!value.is_object()) return false;
  switch (value.object().kind()) {
    case Object::Kind::string:
      return !value.text().empty();
    case Object::Kind::undefined:
      return false;
    case Object::Kind::list:
    case Object::Kind::tuple:
      return !value.get<Sequence>()->items.empty();
    case Object::Kind::dict:
      return !value.get<Dict>()->entries().empty();
    case Object::Kind::dict_view:
      return !value.get<DictView>()->dict().entries().empty();
    case Object::Kind::range:
      return value.get<Range>()->count != 0;
    default:
      return true;
  }
}

bool equal(const Value& left, const Value& right) {
  return equal_at(left, right, 0);
}

bool identical(const Value& left, const Value& right) {
  if (left.is_object() && right.is_object()) {
    return &left.object() == &right.object();
  }
  if (left.is_object() || right.is_object()) return false;
  if (left.is_bool() || right.is_bool())
    return left.is_bool() && right.is_bool() && left.as_bool() == right.as_bool();
  if (left.is_int() || right.is_int())
    return left.is_int() && right.is_int() && left.as_int() == right.as_int();
  if (left.is_float() || right.is_float()) {
    return left.is_float() && right.is_float() && left.as_float() == right.as_float();
  }
  return true;
}

bool ordered(const Value& left, Order order, const Value& right) {
  return ordered_at(left, order, right, 0);
}

size_t hash(const Value& value) {
  return hash_at(value, 0);
}

}  // namespace mullama::jinja
