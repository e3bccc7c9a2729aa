#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.hpp"

namespace mullama::jinja {

/// What a call passes.
struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;

  [[nodiscard]] bool empty() const { return positional.empty() && keywords.empty(); }
};

/// Arguments matched to the parameters of one of our functions.
class BoundArguments {
 public:
  /// `parameters` are the names in order, the first `required` of them without defaults. Fails with TypeError
  /// as Python does for too many, unknown, repeated or missing arguments.
  BoundArguments(std::string_view function, CallArguments& arguments,
                 std::initializer_list<std::string_view> parameters, size_t required = 0);

  /// The argument, or nullptr if it was not passed.
  [[nodiscard]] const Value* get(size_t i) const { return values_[i] ? &*values_[i] : nullptr; }
  [[nodiscard]] const Value& operator[](size_t i) const { return *values_[i]; }
  /// The argument, or None.
  [[nodiscard]] Value value_or_none(size_t i) const { return values_[i] ? *values_[i] : Value(); }

  [[nodiscard]] bool truth_or(size_t i, bool missing) const;
  /// An int; TypeError for anything else.
  [[nodiscard]] int64_t integer(size_t i) const;
  [[nodiscard]] int64_t integer_or(size_t i, int64_t missing) const;
  /// A str; TypeError for anything else.
  [[nodiscard]] const std::string& text(size_t i) const;
  [[nodiscard]] std::string text_or(size_t i, std::string_view missing) const;
  /// None and a missing argument are nullopt.
  [[nodiscard]] std::optional<std::string> optional_text(size_t i) const;

 private:
  std::string_view function_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace mullama::jinja
