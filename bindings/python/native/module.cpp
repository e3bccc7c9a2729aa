#include "binding.hpp"

NB_MODULE(_mullama, module) {
  // Objects that live until the interpreter ends, as in a script's top level, are no leak.
  nanobind::set_leak_warnings(false);
  mullama::python::bind_errors(module);
  mullama::python::bind_model(module);
  mullama::python::bind_context(module);
  mullama::python::bind_toolkit(module);
}
