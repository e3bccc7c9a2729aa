#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/grammar/expression.hpp"
#include "sampling/grammar/regex.hpp"

namespace mullama::sampling {

/// The pieces that JSON texts are made of, as expressions. Blanks are bounded: after a bracket, comma or
/// colon comes nothing, one space, or a line break and an indentation, so that a model can't idle in them.
class JsonText {
 public:
  explicit JsonText(RuleSet& rules) : rules_(rules) {}

  [[nodiscard]] ExprId blank();
  /// A string of so many characters, with any of JSON's escapes.
  [[nodiscard]] ExprId string(uint32_t minimum, std::optional<uint32_t> maximum);
  /// `item` so many times. Large counts are written as copies of a rule of many items, so that they cost the
  /// square root in states.
  [[nodiscard]] ExprId counted(ExprId item, uint32_t minimum, std::optional<uint32_t> maximum);
  /// A string whose decoded text the automaton accepts; characters are escaped only where they must be.
  [[nodiscard]] ExprId string(const Dfa& text);
  /// A string that is none of these, escaped only where it must be: a further key of an object.
  [[nodiscard]] ExprId string_except(const std::vector<std::string>& excluded);
  [[nodiscard]] ExprId integer();
  [[nodiscard]] ExprId number();
  [[nodiscard]] ExprId value();
  [[nodiscard]] ExprId object();
  [[nodiscard]] ExprId array();
  /// One given value, compactly. Throws nlohmann's exception on a string that is no UTF-8.
  [[nodiscard]] ExprId constant(const nlohmann::ordered_json& value);

  /// `open`, then the items with commas between them, then `close`.
  [[nodiscard]] ExprId list(std::string_view open, ExprId item, uint32_t minimum,
                            std::optional<uint32_t> maximum, std::string_view close);
  /// `key : value`.
  [[nodiscard]] ExprId member(ExprId key, ExprId value);
  [[nodiscard]] ExprId comma();

 private:
  template <class Make>
  ExprId shared(const char* name, Make make);
  ExprId character();
  ExprId encoded(const CodePointSet& set);

  RuleSet& rules_;
  std::map<std::string_view, RuleId> named_;
  std::map<std::vector<CodePointRange>, ExprId> encoded_;
};

}  // namespace mullama::sampling
