#include "binding.hpp"

namespace mullama::python {

namespace {

const char* class_of(StatusCode code) {
  switch (code) {
    case StatusCode::gpu_out_of_memory:
      return "GpuMemoryError";
    case StatusCode::budget_exceeded:
    case StatusCode::out_of_memory:
      return "HostMemoryError";
    case StatusCode::invalid_argument:
      return "InvalidArgumentError";
    default:
      return "MullamaError";
  }
}

void raise(StatusCode code, const char* message) {
  const nb::object kind = nb::module_::import_("mullama._errors").attr(class_of(code));
  const nb::object error = kind(text_of(message), static_cast<int>(code));
  PyErr_SetObject(kind.ptr(), error.ptr());
}

}  // namespace

nb::str text_of(std::string_view bytes) {
  PyObject* const text = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace");
  if (text == nullptr) throw nb::python_error();
  return nb::steal<nb::str>(text);
}

void Warnings::add(const std::string& line) {
  const std::lock_guard lock(mutex_);
  lines_.push_back(line);
}

void Warnings::tell(nb::handle receiver) {
  std::vector<std::string> lines;
  {
    const std::lock_guard lock(mutex_);
    lines.swap(lines_);
  }
  for (const std::string& line : lines) {
    if (!receiver.is_none()) {
      receiver(text_of(line));
      continue;
    }
    const nb::object kind = nb::module_::import_("mullama._errors").attr("MullamaWarning");
    if (PyErr_WarnEx(kind.ptr(), line.c_str(), 2) != 0) throw nb::python_error();
  }
}

void bind_errors(nb::module_&) {
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const MullamaError& error) {
      raise(error.code(), error.what());
    }
  });
}

}  // namespace mullama::python
