#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/failure.hpp"

namespace mullama::jinja {

struct Token {
  enum class Kind {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    floating,
    operation,  ///< `text` holds the operator.
    end,
    error,  ///< The source cannot be read further; `text` is the message.
  };

  Kind kind = Kind::end;
  int line = 1;
  std::string text;  ///< Of strings and data with escapes and line ends resolved.
  int64_t integer = 0;
  double floating = 0;

  [[nodiscard]] bool is(Kind what) const { return kind == what; }
  [[nodiscard]] bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
  [[nodiscard]] bool is_operation(std::string_view symbol) const {
    return kind == Kind::operation && text == symbol;
  }
};

/// Splits a template into tokens as jinja2's lexer does with trim_blocks and lstrip_blocks: line ends become
/// "\n", one at the end of the source is dropped, a block tag takes the line end behind it and the blanks of
/// its line before it. The last token is `end` or `error`. Precondition: valid UTF-8.
[[nodiscard]] std::vector<Token> tokenize(std::string_view source);

}  // namespace mullama::jinja
