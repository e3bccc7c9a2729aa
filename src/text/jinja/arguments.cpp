#include "text/jinja/arguments.hpp"

#include <algorithm>

#include "text/jinja/failure.hpp"

namespace mullama::jinja {

BoundArguments::BoundArguments(std::string_view function, CallArguments& arguments,
                               std::initializer_list<std::string_view> parameters, size_t required)
    : function_(function), values_(parameters.size()) {
  if (arguments.positional.size() > parameters.size()) {
    raise(kTypeError, "{}() takes at most {} arguments ({} given)", function, parameters.size(),
          arguments.positional.size());
  }
  std::move(arguments.positional.begin(), arguments.positional.end(), values_.begin());
  for (auto& [name, value] : arguments.keywords) {
    const auto* found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end())
      raise(kTypeError, "{}() got an unexpected keyword argument '{}'", function, name);
    auto& place = values_[static_cast<size_t>(found - parameters.begin())];
    if (place) raise(kTypeError, "{}() got multiple values for argument '{}'", function, name);
    place = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (!values_[i])
      raise(kTypeError, "{}() missing required argument: '{}'", function, parameters.begin()[i]);
  }
}

bool BoundArguments::truth_or(size_t i, bool missing) const {
  return values_[i] ? is_true(*values_[i]) : missing;
}

int64_t BoundArguments::integer(size_t i) const {
  const auto integer = values_[i]->integral();
  if (!integer) raise(kTypeError, "'{}' object cannot be interpreted as an integer", type_name(*values_[i]));
  return *integer;
}

int64_t BoundArguments::integer_or(size_t i, int64_t missing) const {
  return values_[i] ? integer(i) : missing;
}

const std::string& BoundArguments::text(size_t i) const {
  if (!values_[i]->is_string()) {
    raise(kTypeError, "{}() argument {} must be str, not {}", function_, i + 1, type_name(*values_[i]));
  }
  return values_[i]->string().text();
}

std::string BoundArguments::text_or(size_t i, std::string_view missing) const {
  return values_[i] ? text(i) : std::string(missing);
}

std::optional<std::string> BoundArguments::optional_text(size_t i) const {
  if (!values_[i] || values_[i]->is_none()) return std::nullopt;
  return text(i);
}

}  // namespace mullama::jinja
