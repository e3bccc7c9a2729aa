#include "gguf/value.hpp"

#include <array>
#include <fmt/format.h>

namespace mullama::gguf {

std::string_view value_type_name(ValueType type) {
  static constexpr std::array<std::string_view, 13> kNames{
      "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

size_t value_size(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    case ValueType::string:
    case ValueType::array:
      return 0;
  }
  return 0;
}

namespace {

template <class Visit>
auto visit_number(ValueType type, const Value& value, uint64_t i, Visit&& visit) {
  switch (type) {
    case ValueType::u8:
    case ValueType::boolean:
      return visit(value.element<uint8_t>(i));
    case ValueType::i8:
      return visit(value.element<int8_t>(i));
    case ValueType::u16:
      return visit(value.element<uint16_t>(i));
    case ValueType::i16:
      return visit(value.element<int16_t>(i));
    case ValueType::u32:
      return visit(value.element<uint32_t>(i));
    case ValueType::i32:
      return visit(value.element<int32_t>(i));
    case ValueType::f32:
      return visit(value.element<float>(i));
    case ValueType::u64:
      return visit(value.element<uint64_t>(i));
    case ValueType::i64:
      return visit(value.element<int64_t>(i));
    case ValueType::f64:
      return visit(value.element<double>(i));
    case ValueType::string:
    case ValueType::array:
      break;
  }
  return visit(uint8_t{0});
}

// A float outside the range of int64_t has no integer to become.
template <class T>
int64_t to_integer(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return v >= T(-9.2e18) && v <= T(9.2e18) ? static_cast<int64_t>(v) : 0;
  } else {
    return static_cast<int64_t>(v);
  }
}

}  // namespace

int64_t Value::integer_element(uint64_t i) const {
  const ValueType type = type_ == ValueType::array ? element_ : type_;
  return visit_number(type, *this, i, [](auto v) { return to_integer(v); });
}

double Value::number_element(uint64_t i) const {
  const ValueType type = type_ == ValueType::array ? element_ : type_;
  return visit_number(type, *this, i, [](auto v) { return static_cast<double>(v); });
}

std::string Value::to_display(size_t max_elements) const {
  if (type_ == ValueType::string) return std::string(text());
  if (type_ != ValueType::array) {
    if (type_ == ValueType::boolean) return element<uint8_t>(0) != 0 ? "true" : "false";
    if (type_ == ValueType::f32) return fmt::format("{}", element<float>(0));
    if (type_ == ValueType::f64) return fmt::format("{}", element<double>(0));
    if (type_ == ValueType::u64) return fmt::format("{}", element<uint64_t>(0));
    return fmt::format("{}", integer_element(0));
  }
  std::string out = "[";
  const auto append = [&](uint64_t i, const std::string& item) {
    if (i > 0) out += ", ";
    out += item;
  };
  if (element_ == ValueType::string) {
    for_each_string([&](uint64_t i, std::string_view item) {
      if (i < max_elements) append(i, fmt::format("\"{}\"", item));
    });
  } else if (element_ == ValueType::array) {
    out += "...";
  } else {
    for (uint64_t i = 0; i < count_ && i < max_elements; ++i) append(i, fmt::format("{}", number_element(i)));
  }
  if (element_ != ValueType::array && count_ > max_elements) out += fmt::format(", ... {} in all", count_);
  return out + "]";
}

}  // namespace mullama::gguf
