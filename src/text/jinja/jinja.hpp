#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama::jinja {

/// Bounds on what one rendering may use, so that no template can hang, exhaust memory or overflow the stack.
struct Limits {
  uint64_t steps = 50'000'000;      ///< Nodes evaluated, items visited and blocks of 64 characters handled.
  size_t depth = 1500;              ///< Nested evaluations, macro calls included.
  size_t value_bytes = 64u << 20;   ///< Bytes of all values alive at once, the variables included.
  size_t output_bytes = 64u << 20;  ///< Bytes of the result and of captured blocks.
};

struct RenderOptions {
  Limits limits;
  /// What strftime_now() prints; the local time of the call if unset.
  std::optional<std::tm> now;
  /// Lists and dicts of the template may be changed by append, update and the like. Off, these methods are
  /// refused as Hugging Face's sandbox refuses them. Variables are copies either way.
  bool mutable_values = false;
};

struct Program;

/// A parsed Jinja template with the settings Hugging Face transformers uses for chat templates: trim_blocks,
/// lstrip_blocks, loop controls, the generation tag, raise_exception, strftime_now, and tojson without HTML
/// escaping.
///
/// Text and errors equal those of Python's jinja2 3.1. Templates are untrusted: values have no attributes but
/// their documented methods, nothing reaches files, the environment or other processes, and Limits bound the
/// rest. Immutable after parsing; threads may share one.
class Template {
 public:
  /// Sources are UTF-8. Errors name the line: "template line 3: TemplateSyntaxError: ...". Tags that need
  /// other files (include, import, extends) are `unsupported`.
  [[nodiscard]] static Result<Template> parse(std::string_view source);

  /// `variables` is an object whose members become variables; another type is an error. An exception the
  /// template raises itself reads "template line 3: MESSAGE", any other error "template line 3: TYPE:
  /// MESSAGE" with the name of Python's exception.
  [[nodiscard]] Result<std::string> render(const nlohmann::ordered_json& variables,
                                           const RenderOptions& options = {}) const;

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  std::shared_ptr<const Program> program_;
};

}  // namespace mullama::jinja
