#pragma once

#include <memory>
#include <mullama/mullama.hpp>
#include <mutex>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>
#include <string>
#include <vector>

namespace mullama::python {

namespace nb = nanobind;

/// Lines that the library wants to tell. They come while the interpreter is let go, so they wait here until
/// the call that caused them is back.
class Warnings {
 public:
  void add(const std::string& line);
  /// Hands each line to `receiver`, or to Python's own warnings where it is None.
  void tell(nb::handle receiver);

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

struct PyModel {
  std::optional<Model> model;  // empty once closed
  std::shared_ptr<Warnings> warnings;
  nb::object on_warning;

  [[nodiscard]] const Model& get() const;
};

/// An attribute as a C++ value; a TypeError names it if it is of another type.
template <class T>
T field(nb::handle from, const char* name) {
  try {
    return nb::cast<T>(from.attr(name));
  } catch (const nb::cast_error&) {
    throw nb::type_error((std::string(name) + " is of a wrong type").c_str());
  }
}

[[nodiscard]] nb::str text_of(std::string_view bytes);
/// From the dataclasses of the Python side.
[[nodiscard]] ModelParams model_params(nb::handle from);
[[nodiscard]] ContextParams context_params(nb::handle from);
[[nodiscard]] SamplerParams sampler_params(nb::handle from);

void bind_errors(nb::module_& module);
void bind_model(nb::module_& module);
void bind_context(nb::module_& module);
void bind_toolkit(nb::module_& module);

}  // namespace mullama::python
