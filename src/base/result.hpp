#pragma once

#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace mullama {

/// What went wrong, in the terms a caller can act on. Command-line exit codes and HTTP statuses derive from
/// it.
enum class ErrorCode {
  invalid_argument,   ///< A parameter is outside its range or of the wrong type.
  not_found,          ///< A file, model or name does not exist.
  corrupt_file,       ///< A file contradicts itself or its own size.
  unsupported,        ///< Valid input that this version does not handle.
  io,                 ///< The operating system refused a read, write or mapping.
  budget_exceeded,    ///< A memory plan does not fit the budget; nothing was allocated.
  out_of_memory,      ///< The operating system or a device refused memory.
  gpu_out_of_memory,  ///< The same, on a GPU.
  context_full,       ///< A sequence has no cells left.
  canceled,           ///< The caller asked to stop.
  permission,         ///< The operating system or the server forbids it.
  unavailable,        ///< A service, queue or source cannot take the request now.
  download,           ///< A source failed to deliver.
  timeout,            ///< A limit of time ran out.
  internal,           ///< Our own bug.
};

/// "context_full": how a code is written where it leaves the process.
[[nodiscard]] std::string_view error_name(ErrorCode code);
[[nodiscard]] std::optional<ErrorCode> error_code(std::string_view name);

/// One line that names the cause and, where there is one, the next step.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Builds the error branch of a Result: `return fail(ErrorCode::io, "cannot open {}", path);`
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace mullama

#define MULLAMA_CONCAT_INNER(a, b) a##b
#define MULLAMA_CONCAT(a, b) MULLAMA_CONCAT_INNER(a, b)

/// Returns the error of a Status or Result from the enclosing function, or goes on.
#define MULLAMA_TRY(expression)                                                   \
  do {                                                                            \
    if (auto mullama_status = (expression); !mullama_status)                      \
      return tl::unexpected<::mullama::Error>(std::move(mullama_status).error()); \
  } while (0)

#define MULLAMA_ASSIGN_INNER(temporary, declaration, expression)                         \
  auto temporary = (expression);                                                         \
  if (!temporary) return tl::unexpected<::mullama::Error>(std::move(temporary).error()); \
  declaration = std::move(*temporary)

/// `MULLAMA_ASSIGN(auto file, File::open(path));` declares the value or returns the error.
#define MULLAMA_ASSIGN(declaration, expression) \
  MULLAMA_ASSIGN_INNER(MULLAMA_CONCAT(mullama_result_, __COUNTER__), declaration, expression)

/// For our own bugs only: input from outside gets an Error instead.
#define MULLAMA_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::mullama::check_failed(#condition, __FILE__, __LINE__))
