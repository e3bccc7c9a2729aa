#include <algorithm>
#include <array>

#include "text/jinja/interpreter.hpp"
#include "text/jinja/loop.hpp"
#include "text/jinja/methods.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

std::span<const Method> methods_of(const Value& value) {
  if (value.is_float()) return float_methods();
  if (!value.is_object()) return {};
  switch (value.object().kind()) {
    case Object::Kind::string:
      return string_methods();
    case Object::Kind::list:
      return list_methods();
    case Object::Kind::tuple:
      return tuple_methods();
    case Object::Kind::dict:
      return dict_methods();
    case Object::Kind::range:
      return range_methods();
    case Object::Kind::cycler:
      return cycler_methods();
    default:
      return {};
  }
}

/// Attributes every Python object has. They do not exist here, but jinja2's sandbox names them in its errors.
bool is_python_internal(std::string_view name) {
  static constexpr std::array<std::string_view, 26> kInternal = {
      "__class__",       "__delattr__", "__dict__",    "__dir__",           "__doc__",
      "__eq__",          "__format__",  "__ge__",      "__getattribute__",  "__getstate__",
      "__gt__",          "__hash__",    "__init__",    "__init_subclass__", "__le__",
      "__lt__",          "__module__",  "__ne__",      "__new__",           "__reduce__",
      "__reduce_ex__",   "__repr__",    "__setattr__", "__sizeof__",        "__str__",
      "__subclasshook__"};
  return std::find(kInternal.begin(), kInternal.end(), name) != kInternal.end();
}

struct Bounds {
  int64_t start = 0;
  int64_t step = 1;
  size_t count = 0;
};

std::optional<int64_t> slice_index(const Value& value) {
  if (value.is_none()) return std::nullopt;
  const auto index = value.integral();
  if (!index) raise(kTypeError, "slice indices must be integers or None or have an __index__ method");
  return index;
}

/// Python's slice.indices for a sequence of `length` items.
Bounds slice_bounds(const Value& start, const Value& stop, const Value& step, size_t length) {
  const auto size = static_cast<int64_t>(length);
  Bounds bounds;
  bounds.step = slice_index(step).value_or(1);
  if (bounds.step == 0) raise(kValueError, "slice step cannot be zero");
  bounds.step = std::max(bounds.step, -INT64_MAX);
  const bool backward = bounds.step < 0;
  const auto clamp = [&](const Value& value, int64_t missing) {
    const auto given = slice_index(value);
    if (!given) return missing;
    int64_t index = *given;
    if (index < 0) index = index < -size ? -1 : index + size;
    return backward ? std::clamp<int64_t>(index, -1, size - 1) : std::clamp<int64_t>(index, 0, size);
  };
  bounds.start = clamp(start, backward ? size - 1 : 0);
  const int64_t end = clamp(stop, backward ? -1 : size);
  if (backward && end < bounds.start) {
    bounds.count = static_cast<size_t>((bounds.start - end - 1) / -bounds.step + 1);
  } else if (!backward && bounds.start < end) {
    bounds.count = static_cast<size_t>((end - bounds.start - 1) / bounds.step + 1);
  }
  return bounds;
}

Value slice_text(Interpreter& interpreter, const String& text, const Bounds& bounds) {
  if (bounds.count == 0) return interpreter.text({}, text.safe());
  const auto& bytes = text.text();
  interpreter.heap().work(1 + bytes.size() / 64 + bounds.count / 16);
  if (bounds.step == 1) {
    const auto start = static_cast<size_t>(bounds.start);
    const size_t begin = text.ascii() ? start : offset_of(bytes, start);
    const auto rest = std::string_view(bytes).substr(begin);
    return interpreter.text(
        std::string(rest.substr(0, text.ascii() ? bounds.count : offset_of(rest, bounds.count))),
        text.safe());
  }
  const auto codes = decode(bytes);
  std::string sliced;
  for (size_t i = 0; i < bounds.count; ++i) {
    append_code_point(sliced,
                      codes[static_cast<size_t>(bounds.start + static_cast<int64_t>(i) * bounds.step)]);
  }
  return interpreter.text(std::move(sliced), text.safe());
}

/// A sequence's index from a value, negative ones counting from the end.
std::optional<size_t> sequence_index(const Value& key, size_t length) {
  const auto index = key.integral();
  if (!index) return std::nullopt;
  const auto size = static_cast<int64_t>(length);
  if (*index >= size || *index < -size) return std::nullopt;
  return static_cast<size_t>(*index < 0 ? *index + size : *index);
}

bool is_hashable(const Value& key) {
  if (key.is(Object::Kind::list) || key.is(Object::Kind::dict) || key.is(Object::Kind::dict_view))
    return false;
  const auto* tuple = key.get<Sequence>();
  return tuple == nullptr || std::all_of(tuple->items.begin(), tuple->items.end(), [](const Value& item) {
           return !item.is(Object::Kind::list) && !item.is(Object::Kind::dict);
         });
}

/// object[key]; nullopt where Python raises TypeError or LookupError.
std::optional<Value> subscript(Interpreter& interpreter, const Value& object, const Value& key) {
  if (const auto* dict = object.get<Dict>()) {
    if (!is_hashable(key)) return std::nullopt;
    const Value* found = dict->find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (const auto* sequence = object.get<Sequence>()) {
    const auto index = sequence_index(key, sequence->items.size());
    return index ? std::optional<Value>(sequence->items[*index]) : std::nullopt;
  }
  if (const auto* range = object.get<Range>()) {
    const auto index = sequence_index(key, range->count);
    return index ? std::optional<Value>(Value(range->at(*index))) : std::nullopt;
  }
  if (object.is_string()) {
    const auto& text = object.string();
    const auto index = sequence_index(key, text.length());
    if (!index) return std::nullopt;
    return slice_text(interpreter, text, {static_cast<int64_t>(*index), 1, 1});
  }
  return std::nullopt;
}

std::optional<Value> macro_attribute(Interpreter& interpreter, const MacroNode& node, std::string_view name) {
  if (name == "name") return node.name.empty() ? Value() : interpreter.text(node.name);
  if (name == "catch_kwargs") return Value(node.uses_keywords);
  if (name == "catch_varargs") return Value(node.uses_positionals);
  if (name == "caller") return Value(node.uses_caller);
  if (name != "arguments") return std::nullopt;
  std::vector<Value> names;
  for (const auto& parameter : node.parameters) names.push_back(interpreter.text(parameter->name));
  return interpreter.tuple(std::move(names));
}

}  // namespace

Value Interpreter::undefined_name(std::string_view name) {
  return undefined(fmt::format("{} is undefined", text_repr(name)));
}

Value Interpreter::undefined_member(const Value& object, const Value& name) {
  if (name.is_string()) {
    return undefined(
        fmt::format("'{}' has no attribute {}", object_type_name(object), text_repr(name.text())));
  }
  return undefined(fmt::format("{} has no element {}", object_type_name(object), str(name)));
}

std::optional<Value> Interpreter::own_attribute(const Value& object, std::string_view name) {
  for (const auto& method : methods_of(object)) {
    if (method.name != name) continue;
    if (method.mutates && !options_.mutable_values) {
      return undefined(
          fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)),
          kSecurityError);
    }
    return Value(heap_.make<Function>(method.name, method.body, object, true));
  }
  if (auto* loop = object.get<Loop>()) {
    if (auto found = loop->attribute(*this, name)) return found;
  } else if (const auto* names = object.get<Namespace>()) {
    if (const Value* found = names->attributes->find(name)) return *found;
  } else if (const auto* macro = object.get<Macro>()) {
    if (auto found = macro_attribute(*this, macro->node, name)) return found;
  } else if (const auto* range = object.get<Range>()) {
    if (name == "start") return Value(range->start);
    if (name == "stop") return Value(range->stop);
    if (name == "step") return Value(range->step);
  } else if (const auto* cycler = object.get<Cycler>(); cycler != nullptr && name == "current") {
    return cycler->items[cycler->position];
  } else if (const auto* group = object.get<Sequence>(); group != nullptr && group->group) {
    if (name == "grouper") return group->items[0];
    if (name == "list") return group->items[1];
  }
  if (is_python_internal(name)) {
    return undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)),
        kSecurityError);
  }
  return std::nullopt;
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  if (const auto* missing = object.get<Undefined>(); missing != nullptr && !is_python_internal(name))
    missing->fail();
  if (auto found = own_attribute(object, name)) return std::move(*found);
  if (const auto* dict = object.get<Dict>()) {
    if (const Value* found = dict->find(name)) return *found;
  }
  return undefined(fmt::format("'{}' has no attribute {}", object_type_name(object), text_repr(name)));
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (const auto* missing = object.get<Undefined>()) missing->fail();
  if (auto found = subscript(*this, object, key)) return std::move(*found);
  if (key.is_string()) {
    if (auto found = own_attribute(object, key.text())) return std::move(*found);
  }
  return undefined_member(object, key);
}

Value Interpreter::slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (const auto* missing = object.get<Undefined>()) missing->fail();
  if (object.is_string()) {
    return slice_text(*this, object.string(), slice_bounds(start, stop, step, object.string().length()));
  }
  if (const auto* sequence = object.get<Sequence>()) {
    const auto bounds = slice_bounds(start, stop, step, sequence->items.size());
    heap_.work(bounds.count);
    heap_.expect_room(bounds.count * sizeof(Value));
    std::vector<Value> items;
    items.reserve(bounds.count);
    for (size_t i = 0; i < bounds.count; ++i) {
      items.push_back(
          sequence->items[static_cast<size_t>(bounds.start + static_cast<int64_t>(i) * bounds.step)]);
    }
    return Value(heap_.make<Sequence>(sequence->kind(), std::move(items)));
  }
  if (const auto* range = object.get<Range>()) {
    const auto bounds = slice_bounds(start, stop, step, range->count);
    int64_t by = 0;
    int64_t from = range->start;
    int64_t stop_at = 0;
    if (__builtin_mul_overflow(range->step, bounds.step, &by) ||
        __builtin_add_overflow(range->start, bounds.start * range->step, &from) ||
        __builtin_mul_overflow(by, static_cast<int64_t>(bounds.count), &stop_at) ||
        __builtin_add_overflow(from, stop_at, &stop_at)) {
      raise(kOverflowError, "the range does not fit 64-bit integers");
    }
    return Value(heap_.make<Range>(from, stop_at, by, bounds.count));
  }
  if (object.is(Object::Kind::dict)) raise(kTypeError, "unhashable type: 'slice'");
  raise(kTypeError, "'{}' object is not subscriptable", type_name(object));
}

Value Interpreter::follow(const Value& object, const Value& path, const Value* missing) {
  const auto step = [&](const Value& from, const Value& key) {
    Value found = item(from, key);
    return missing != nullptr && found.is_undefined() ? *missing : found;
  };
  if (path.is_none()) return object;
  if (!path.is_string()) return step(object, path);
  Value value = object;
  const std::string_view parts = path.text();
  for (size_t begin = 0; begin <= parts.size();) {
    const size_t end = std::min(parts.find('.', begin), parts.size());
    const auto part = parts.substr(begin, end - begin);
    const bool is_index =
        !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == std::string_view::npos;
    value = step(value, is_index ? Value(static_cast<int64_t>(std::stoll(std::string(part))))
                                 : text(std::string(part)));
    begin = end + 1;
  }
  return value;
}

std::string Interpreter::str(const Value& value) {
  TextBuilder out(heap_);
  append_str(out, value);
  return out.take();
}

Value Interpreter::soft_str(const Value& value) {
  return value.is_string() ? value : text(str(value));
}

bool Interpreter::is_iterable(const Value& value) {
  if (!value.is_object()) return false;
  switch (value.object().kind()) {
    case Object::Kind::string:
    case Object::Kind::undefined:
    case Object::Kind::list:
    case Object::Kind::tuple:
    case Object::Kind::dict:
    case Object::Kind::dict_view:
    case Object::Kind::range:
    case Object::Kind::iterator:
      return true;
    default:
      return false;
  }
}

void Interpreter::expect_iterable(const Value& value) {
  if (!is_iterable(value)) raise(kTypeError, "'{}' object is not iterable", type_name(value));
}

bool Interpreter::next(const Value& source, size_t& position, Value& out) {
  heap_.work(1);
  if (const auto* sequence = source.get<Sequence>()) {
    if (position >= sequence->items.size()) return false;
    out = Value(sequence->items[position++]);
    return true;
  }
  if (const auto* dict = source.get<Dict>()) {
    if (position >= dict->entries().size()) return false;
    out = Value(dict->entries()[position++].first);
    return true;
  }
  if (const auto* view = source.get<DictView>()) {
    const auto& entries = view->dict().entries();
    if (position >= entries.size()) return false;
    const auto& [key, value] = entries[position++];
    out = view->part() == DictView::Part::keys     ? Value(key)
          : view->part() == DictView::Part::values ? Value(value)
                                                   : pair(key, value);
    return true;
  }
  if (const auto* range = source.get<Range>()) {
    if (position >= range->count) return false;
    out = Value(range->at(position++));
    return true;
  }
  if (auto* iterator = source.get<Iterator>()) return iterator->next(*this, out);
  if (source.is_string()) {
    const auto& bytes = source.string().text();
    if (position >= bytes.size()) return false;
    std::string character;
    append_code_point(character, next_code_point(bytes, position));
    out = text(std::move(character), source.string().safe());
    return true;
  }
  return false;
}

bool Iterator::next(Interpreter& interpreter, Value& out) {
  if (finished_) return false;
  if (running_) raise(kValueError, "generator already executing");
  const Interpreter::Depth nested(interpreter);
  running_ = true;
  bool found = false;
  try {
    found = next_(interpreter, *this, out);
  } catch (...) {
    // A generator that has failed is finished.
    running_ = false;
    finished_ = true;
    throw;
  }
  running_ = false;
  finished_ = !found;
  return found;
}

std::vector<Value> Interpreter::to_vector(const Value& source) {
  expect_iterable(source);
  std::vector<Value> items;
  size_t position = 0;
  for (Value item; next(source, position, item);) {
    items.push_back(item);
    if ((items.size() & 0xfff) == 0) heap_.expect_room(items.size() * sizeof(Value));
  }
  return items;
}

std::optional<size_t> Interpreter::length(const Value& value) {
  if (value.is_string()) return value.string().length();
  if (value.is_undefined()) return 0;
  if (const auto* sequence = value.get<Sequence>()) return sequence->items.size();
  if (const auto* dict = value.get<Dict>()) return dict->entries().size();
  if (const auto* view = value.get<DictView>()) return view->dict().entries().size();
  if (const auto* range = value.get<Range>()) return range->count;
  return std::nullopt;
}

}  // namespace mullama::jinja
