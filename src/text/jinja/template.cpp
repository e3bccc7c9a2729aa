#include <exception>
#include <new>

#include "text/jinja/interpreter.hpp"
#include "text/jinja/jinja.hpp"
#include "text/jinja/lexer.hpp"
#include "text/jinja/parser.hpp"
#include "text/jinja/scope.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

/// Longer sources are refused: the largest chat templates have a few tens of kilobytes.
constexpr size_t kMaxSourceBytes = 1u << 20;

Error error_of(const Failure& failure, int line) {
  const std::string_view type = failure.type;
  const ErrorCode code = type == kUnsupportedError ? ErrorCode::unsupported : ErrorCode::invalid_argument;
  const int at = failure.line != 0 ? failure.line : line;
  // What a template raises itself is meant for the reader as it stands.
  if (type == kTemplateError) return {code, fmt::format("template line {}: {}", at, failure.message)};
  return {code, fmt::format("template line {}: {}: {}", at, type, failure.message)};
}

/// Runs `work` and turns what it throws into an error.
template <class Work, class Line>
auto guarded(Work work, Line line) -> Result<decltype(work())> {
  try {
    return work();
  } catch (const Failure& failure) {
    return tl::unexpected<Error>(error_of(failure, line()));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "the template ran out of memory");
  } catch (const std::exception& exception) {
    return fail(ErrorCode::internal, "the template failed: {}", exception.what());
  }
}

}  // namespace

Result<Template> Template::parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return fail(ErrorCode::invalid_argument, "the template has {} bytes, more than the {} that are read",
                source.size(), kMaxSourceBytes);
  }
  if (!is_valid_utf8(source)) return fail(ErrorCode::invalid_argument, "the template is not valid UTF-8");
  const auto build = [source]() -> std::shared_ptr<const Program> {
    auto program = std::make_shared<Program>();
    program->body = Parser(tokenize(source)).parse();
    resolve_names(*program);
    return program;
  };
  MULLAMA_ASSIGN(auto program, guarded(build, [] { return 1; }));
  return Template(std::move(program));
}

Result<std::string> Template::render(const nlohmann::ordered_json& variables,
                                     const RenderOptions& options) const {
  if (!variables.is_object() && !variables.is_null()) {
    return fail(ErrorCode::invalid_argument, "a template's variables must be a JSON object, not {}",
                variables.type_name());
  }
  Interpreter interpreter(*program_, options);
  return guarded([&] { return interpreter.render(variables); }, [&] { return interpreter.line(); });
}

}  // namespace mullama::jinja
