#include "text/chat/go_template.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "text/jinja/unicode.hpp"

namespace mullama::text {

namespace {

constexpr std::string_view kBlank = " \t\r\n";
// Stands behind a turn's answer, where the prompt for the next one is cut: a byte that texts of models do not
// hold. Templates that write all messages at once print nothing for it.
constexpr std::string_view kCut = "{{ go_cut }}";
constexpr size_t kMostActions = 10'000;
constexpr size_t kDeepest = 100;
// Of one expression in Jinja, which repeats some of its parts, and of the whole.
constexpr size_t kLongestExpression = size_t{64} << 10;
constexpr size_t kLongest = size_t{1} << 20;

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// What may stand for a name in the Jinja that is written, where anything else would be code of its own.
bool is_name(std::string_view text) {
  return !text.empty() && (text.front() < '0' || text.front() > '9') && std::ranges::all_of(text, is_letter);
}

/// Names that mean something else to Jinja.
bool is_reserved(std::string_view name) {
  constexpr auto kReserved = std::to_array<std::string_view>(
      {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none"});
  return std::ranges::find(kReserved, name) != kReserved.end();
}

std::string_view strip(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string jinja_string(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      if (c == '\'' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + "'";
}

/// "ToolCalls" is "tool_calls"; a few have names of their own in conversations.
std::string field_name(std::string_view name) {
  if (name == "Thinking") return "reasoning_content";
  if (name == "ToolName") return "name";
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool upper = name[i] >= 'A' && name[i] <= 'Z';
    const bool after_lower = i > 0 && name[i - 1] >= 'a' && name[i - 1] <= 'z';
    if (upper && after_lower) out += '_';
    out += upper ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return out;
}

/// A field of a value, which is nothing where the value is nothing. A subscript, since "items" names a
/// method.
std::string field(const std::string& value, std::string_view name) {
  return fmt::format("({} or {{}})['{}']", value, field_name(name));
}

/// A field of the whole conversation.
std::string root_name(std::string_view name) {
  if (name == "System" || name == "Prompt" || name == "Response" || name == "Suffix")
    return std::string(name);
  if (name == "Think") return "enable_thinking";
  if (name == "IsThinkSet") return "(enable_thinking is defined)";
  if (name == "ThinkLevel") return "reasoning_effort";
  return field_name(name);
}

struct Word {
  enum class Kind : uint8_t { path, variable, text, number, name, open, close, pipe, end };
  Kind kind = Kind::end;
  std::string value;
  bool joined = false;  ///< To the word before it, without a blank.
};

/// Splits what stands between braces.
Result<std::vector<Word>> words_of(std::string_view text) {
  std::vector<Word> words;
  size_t i = 0;
  const auto letters = [&] {
    const size_t begin = i;
    while (i < text.size() && is_letter(text[i])) ++i;
    return std::string(text.substr(begin, i - begin));
  };
  const auto name = [&](Word::Kind kind, bool joined) -> Status {
    ++i;
    words.push_back({kind, letters(), joined});
    const std::string& made = words.back().value;
    if (made.empty() || is_name(made)) return {};
    return fail(ErrorCode::unsupported, "the template has '{}' as a name, which is not known here", made);
  };
  while (i < text.size()) {
    const char c = text[i];
    if (kBlank.find(c) != std::string_view::npos) {
      ++i;
    } else if (c == '.') {
      MULLAMA_TRY(name(Word::Kind::path, i > 0 && (is_letter(text[i - 1]) || text[i - 1] == ')')));
    } else if (c == '$') {
      MULLAMA_TRY(name(Word::Kind::variable, false));
    } else if (c == '"' || c == '`') {
      std::string value;
      for (++i; i < text.size() && text[i] != c; ++i) {
        if (c == '"' && text[i] == '\\' && i + 1 < text.size()) {
          ++i;
          value += text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : text[i];
        } else {
          value += text[i];
        }
      }
      if (i == text.size()) return fail(ErrorCode::invalid_argument, "a text in the template has no end");
      ++i;
      words.push_back({Word::Kind::text, std::move(value), false});
    } else if (c == '(' || c == ')' || c == '|') {
      ++i;
      words.push_back({c == '('   ? Word::Kind::open
                       : c == ')' ? Word::Kind::close
                                  : Word::Kind::pipe,
                       "", false});
    } else if ((c >= '0' && c <= '9') || c == '-') {
      ++i;
      std::string number = c + letters();
      int64_t value = 0;
      const char* const end = number.data() + number.size();
      // Jinja negates what it reads, so the least of all numbers is none there; Go's with a leading zero are
      // octal.
      const size_t first = number[0] == '-' ? 1 : 0;
      const bool octal = number.size() > first + 1 && number[first] == '0';
      if (const auto read = std::from_chars(number.data(), end, value);
          read.ec != std::errc() || read.ptr != end || octal || value == std::numeric_limits<int64_t>::min())
        return fail(ErrorCode::unsupported, "the template has the number '{}', which is not known here",
                    number);
      words.push_back({Word::Kind::number, std::move(number), false});
    } else if (is_letter(c)) {
      words.push_back({Word::Kind::name, letters(), false});
    } else {
      return fail(ErrorCode::unsupported, "the template has '{}' in '{}', which is not known here", c, text);
    }
  }
  return words;
}

/// Where the action that begins at `begin` ends: at the first "}}" outside of texts and comments.
size_t end_of_action(std::string_view source, size_t begin) {
  size_t at = begin + 2;
  if (at < source.size() && source[at] == '-') ++at;
  const size_t first = source.find_first_not_of(kBlank, at);
  if (first != std::string_view::npos && source.substr(first).starts_with("/*")) {
    const size_t close = source.find("*/", first + 2);
    return close == std::string_view::npos ? close : source.find("}}", close);
  }
  for (char quote = 0; at < source.size(); ++at) {
    const char c = source[at];
    if (quote != 0) {
      if (c == '\\' && quote == '"') {
        ++at;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (c == '"' || c == '`') {
      quote = c;
    } else if (source.substr(at).starts_with("}}")) {
      return at;
    }
  }
  return std::string_view::npos;
}

class Translator {
 public:
  explicit Translator(std::string_view source) : source_(source) {}

  Result<std::string> run() {
    MULLAMA_TRY(body());
    if (!open_.empty()) return fail(ErrorCode::invalid_argument, "the template misses an {{{{ end }}}}");
    const std::string macros = (prints_ ? std::string(kText) : "") + (types_ ? std::string(kType) : "");
    if (uses_messages_) return macros + std::string(kSystem) + "{% set go = namespace() %}" + out_;
    if (!uses_response_) out_ += print("Response") + std::string(kCut);
    return macros +
           "{% macro go_turn(System, Prompt, Response) %}{% set go = namespace() %}{% set go_cut = '\x01' "
           "%}" +
           out_ + "{% endmacro %}" + std::string(kTurns);
  }

 private:
  /// What .System is beside .Messages.
  static constexpr std::string_view kSystem =
      "{% set go_system = namespace(text='') %}{% for m in messages %}{% if m.role == 'system' %}"
      "{% set go_system.text = go_system.text + ('\\n\\n' if go_system.text else '') + m.content %}"
      "{% endif %}{% endfor %}{% set System = go_system.text %}";
  /// One turn is a system message, a question and an answer, each of which may be missing.
  static constexpr std::string_view kTurns =
      "{% set at = namespace(system='', prompt='', response='') %}{% for m in messages %}"
      "{% if (m.role == 'system' and (at.prompt or at.response)) or (m.role == 'user' and at.response) %}"
      "{{ go_turn(at.system, at.prompt, at.response)|replace('\x01', '') }}"
      "{% set at.system = '' %}{% set at.prompt = '' %}{% set at.response = '' %}{% endif %}"
      "{% if m.role == 'system' %}{% set at.system = at.system + ('\\n\\n' if at.system else '') + m.content "
      "%}"
      "{% elif m.role == 'user' %}{% set at.prompt = at.prompt + ('\\n\\n' if at.prompt else '') + m.content "
      "%}"
      "{% elif m.role == 'assistant' %}{% set at.response = at.response + m.content %}{% endif %}{% endfor %}"
      "{{ (go_turn(at.system, at.prompt, at.response)|string).split('\x01')[0] }}";

  /// A value as a text, the way print() below prints it.
  static constexpr std::string_view kText =
      "{% macro go_text(v) %}{{ '' if v is undefined or v is none else (v if v is string else v|tojson) }}"
      "{% endmacro %}";
  /// The type of a property of a tool's parameters, in TypeScript's words.
  static constexpr std::string_view kType =
      "{% macro go_type(p) %}{% if (p or {})['anyOf'] %}{% for t in p['anyOf'] %}"
      "{{ '' if loop.first else ' | ' }}{{ go_type(t) }}{% endfor %}{% else %}"
      "{% set types = (p or {})['type'] or 'any' %}{% for t in ([types] if types is string else types) %}"
      "{{ '' if loop.first else ' | ' }}{{ {'string': 'string', 'number': 'number', 'integer': 'number', "
      "'boolean': 'boolean', 'array': 'any[]', 'object': 'Record<string, any>', 'null': 'null'}.get(t, "
      "'any') "
      "}}{% endfor %}{% endif %}{% endmacro %}";

  /// Go prints texts as they are, and what has a structure as Ollama's types do: in JSON.
  static std::string print(const std::string& value) {
    return "{{ '' if " + value + " is undefined or " + value + " is none else (" + value + " if " + value +
           " is string else " + value + "|tojson) }}";
  }

  Status body() {
    size_t at = 0;
    bool trim_left = false;
    for (size_t actions = 0;; ++actions) {
      if (actions > kMostActions) return fail(ErrorCode::invalid_argument, "the template is too long");
      const size_t begin = source_.find("{{", at);
      std::string_view text = source_.substr(at, begin == std::string_view::npos ? begin : begin - at);
      const bool trims_before = begin != std::string_view::npos && begin + 3 < source_.size() &&
                                source_[begin + 2] == '-' &&
                                kBlank.find(source_[begin + 3]) != std::string_view::npos;
      if (trim_left) text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
      if (trims_before) text = text.substr(0, text.find_last_not_of(kBlank) + 1);
      if (!text.empty()) out_ += "{{ " + jinja_string(text) + " }}";
      if (begin == std::string_view::npos) return {};
      const size_t end = end_of_action(source_, begin);
      if (end == std::string_view::npos)
        return fail(ErrorCode::invalid_argument, "the template misses a }}}}");
      std::string_view inside = source_.substr(begin + 2, end - begin - 2);
      if (trims_before) inside.remove_prefix(1);
      trim_left = inside.size() > 1 && inside.ends_with('-') &&
                  kBlank.find(inside[inside.size() - 2]) != std::string_view::npos;
      if (trim_left) inside.remove_suffix(1);
      at = end + 2;
      MULLAMA_TRY(action(strip(inside)));
      if (out_.size() > kLongest) return fail(ErrorCode::invalid_argument, "the template is too long");
    }
  }

  Status action(std::string_view text) {
    if (text.empty() || text.starts_with("/*")) return {};
    const std::string_view word = text.substr(0, std::min(text.find_first_of(" \t\r\n("), text.size()));
    const std::string_view rest = strip(text.substr(word.size()));
    if (word == "if") return begin_if(rest);
    if (word == "range") return begin_range(rest);
    if (word == "with") return begin_with(rest);
    if (word == "else") return otherwise(rest);
    if (word == "end") return end_block();
    if (word == "break" || word == "continue") {
      if (!rest.empty())
        return fail(ErrorCode::invalid_argument, "the template has '{}' behind a {}", rest, word);
      // The else of a range is outside of it: a break there ends the next range around it.
      if (std::ranges::none_of(open_,
                               [](const Block& block) { return block.end == "endfor" && !block.has_else; }))
        return fail(ErrorCode::invalid_argument, "the template has a {} outside of a range", word);
      out_ += fmt::format("{{% {} %}}", word);
      return {};
    }
    if (const auto assigned = assignment(text)) {
      if (!is_name(assigned->first))
        return fail(ErrorCode::unsupported, "the template sets '${}', which is not known here",
                    assigned->first);
      MULLAMA_ASSIGN(const std::string value, expression(assigned->second));
      out_ += fmt::format("{{% set go.{} = {} %}}", assigned->first, value);
      return {};
    }
    MULLAMA_ASSIGN(const std::string value, expression(text));
    out_ += print(value);
    if (value == "Response") {
      uses_response_ = true;
      out_ += kCut;
    }
    return {};
  }

  /// "$x := ..." or "$x = ...": variables live in one namespace, so that blocks can change them.
  static std::optional<std::pair<std::string, std::string_view>> assignment(std::string_view text) {
    if (!text.starts_with('$')) return std::nullopt;
    size_t i = 1;
    while (i < text.size() && is_letter(text[i])) ++i;
    const std::string name(text.substr(1, i - 1));
    const std::string_view rest = strip(text.substr(i));
    if (rest.starts_with(":=")) return std::pair(name, rest.substr(2));
    if (rest.starts_with('=')) return std::pair(name, rest.substr(1));
    return std::nullopt;
  }

  struct Block {
    std::string_view end;
    bool has_dot = false;
    bool has_else = false;
  };

  Status open(std::string_view end, std::optional<std::string> dot) {
    if (open_.size() >= kDeepest)
      return fail(ErrorCode::invalid_argument, "the template is nested too deeply");
    open_.push_back({end, dot.has_value()});
    if (dot) dots_.push_back(std::move(*dot));
    return {};
  }

  Status begin_if(std::string_view condition) {
    MULLAMA_ASSIGN(const std::string value, expression(condition));
    out_ += "{% if " + value + " %}";
    return open("endif", std::nullopt);
  }

  Status begin_with(std::string_view text) {
    MULLAMA_ASSIGN(const std::string value, expression(text));
    const std::string dot = fmt::format("go.with_{}", ++names_);
    out_ += fmt::format("{{% set {} = {} %}}{{% if {} %}}", dot, value, dot);
    return open("endif", dot);
  }

  Status begin_range(std::string_view text) {
    std::string key;
    std::string value;
    if (const size_t assign = text.find(":="); text.starts_with('$') && assign != std::string_view::npos) {
      const std::string_view names = text.substr(0, assign);
      const size_t comma = names.find(',');
      const auto name = [](std::string_view part) {
        part = strip(part);
        return std::string(part.substr(part.starts_with('$') ? 1 : 0));
      };
      if (comma != std::string_view::npos) key = name(names.substr(0, comma));
      value = name(comma == std::string_view::npos ? names : names.substr(comma + 1));
      if (!is_name(value) || (comma != std::string_view::npos && !is_name(key)))
        return fail(ErrorCode::unsupported, "the template's 'range {}' is not known here", text);
      text = strip(text.substr(assign + 2));
    }
    MULLAMA_ASSIGN(const std::string list, expression(text));
    const std::string item = fmt::format("go_item_{}", ++names_);
    const bool is_map = list.ends_with("['properties']") || list.ends_with("['arguments']");
    out_ += is_map ? fmt::format("{{% for go_key, {} in ({} or {{}}).items() %}}", item, list)
                   : fmt::format("{{% for {} in ({} or []) %}}", item, list);
    if (!key.empty() && key != "_")
      out_ += fmt::format("{{% set go.{} = {} %}}", key, is_map ? "go_key" : "loop.index0");
    if (!value.empty() && value != "_") out_ += fmt::format("{{% set go.{} = {} %}}", value, item);
    return open("endfor", item);
  }

  Status otherwise(std::string_view rest) {
    if (open_.empty()) return fail(ErrorCode::invalid_argument, "the template has an else without an if");
    if (open_.back().has_else)
      return fail(ErrorCode::invalid_argument, "the template has an else behind an else");
    // What stands in an else has the dot of outside.
    if (open_.back().has_dot) {
      dots_.pop_back();
      open_.back().has_dot = false;
    }
    if (rest.empty()) {
      open_.back().has_else = true;
      out_ += "{% else %}";
      return {};
    }
    if (!rest.starts_with("if") || open_.back().end != "endif")
      return fail(ErrorCode::unsupported, "the template's 'else {}' is not known here", rest);
    MULLAMA_ASSIGN(const std::string value, expression(strip(rest.substr(2))));
    out_ += "{% elif " + value + " %}";
    return {};
  }

  Status end_block() {
    if (open_.empty()) return fail(ErrorCode::invalid_argument, "the template has an end too many");
    out_ += fmt::format("{{% {} %}}", open_.back().end);
    if (open_.back().has_dot) dots_.pop_back();
    open_.pop_back();
    return {};
  }

  Result<std::string> expression(std::string_view text) {
    MULLAMA_ASSIGN(words_, words_of(text));
    next_ = 0;
    depth_ = 0;
    MULLAMA_ASSIGN(std::string value, pipeline());
    if (peek() != Word::Kind::end)
      return fail(ErrorCode::invalid_argument, "the template's '{}' does not end where it should", text);
    return value;
  }

  [[nodiscard]] Word::Kind peek() const {
    return next_ < words_.size() ? words_[next_].kind : Word::Kind::end;
  }

  Result<std::string> pipeline() {
    if (++depth_ > kDeepest) return fail(ErrorCode::invalid_argument, "the template is nested too deeply");
    std::optional<std::string> value;
    while (true) {
      MULLAMA_ASSIGN(value, command(std::move(value)));
      if (peek() != Word::Kind::pipe) break;
      ++next_;
    }
    --depth_;
    if (value->size() > kLongestExpression)
      return fail(ErrorCode::invalid_argument, "the template has an expression that is too long");
    return std::move(*value);
  }

  /// A function with its arguments, of which the last may come through a pipe; or one operand.
  Result<std::string> command(std::optional<std::string> piped) {
    std::string function;
    if (peek() == Word::Kind::name) {
      const std::string& name = words_[next_].value;
      if (name != "true" && name != "false" && name != "nil") {
        function = name;
        ++next_;
      }
    }
    std::vector<std::string> arguments;
    while (peek() != Word::Kind::end && peek() != Word::Kind::close && peek() != Word::Kind::pipe) {
      MULLAMA_ASSIGN(std::string argument, operand());
      arguments.push_back(std::move(argument));
    }
    if (!function.empty()) {
      if (piped) arguments.push_back(std::move(*piped));
      return call(function, std::move(arguments));
    }
    if (piped || arguments.size() != 1)
      return fail(ErrorCode::unsupported, "the template has an expression that is not known here");
    return std::move(arguments.front());
  }

  Result<std::string> operand() {
    const Word word = words_[next_++];
    std::string value;
    switch (word.kind) {
      case Word::Kind::text:
        return jinja_string(word.value);
      case Word::Kind::number:
        return word.value;
      case Word::Kind::name:
        if (word.value == "nil") return std::string("none");
        if (word.value == "true" || word.value == "false") return word.value;
        return fail(ErrorCode::unsupported, "the template uses '{}' as a value, which is not known here",
                    word.value);
      case Word::Kind::open: {
        MULLAMA_ASSIGN(const std::string inside, pipeline());
        if (peek() != Word::Kind::close) return fail(ErrorCode::invalid_argument, "the template misses a )");
        ++next_;
        return fields("(" + inside + ")");
      }
      case Word::Kind::variable:
        if (!word.value.empty()) return fields("go." + word.value);
        return root_fields();
      case Word::Kind::path:
        if (dots_.empty()) {
          --next_;
          return root_fields();
        }
        return fields(word.value.empty() ? dots_.back() : field(dots_.back(), word.value));
      default:
        return fail(ErrorCode::invalid_argument, "the template has an expression without a value");
    }
  }

  /// A value with the fields that are joined to it.
  Result<std::string> fields(std::string value) {
    for (size_t i = 0; peek() == Word::Kind::path && words_[next_].joined && !words_[next_].value.empty();
         ++i) {
      if (i > kDeepest) return fail(ErrorCode::invalid_argument, "the template is nested too deeply");
      value = field(value, words_[next_++].value);
    }
    return value;
  }

  Result<std::string> root_fields() {
    if (peek() != Word::Kind::path || words_[next_].value.empty())
      return fail(ErrorCode::unsupported, "the template uses the whole conversation as a value");
    const std::string name = root_name(words_[next_++].value);
    if (is_reserved(name))
      return fail(ErrorCode::unsupported, "the template has '{}' as a name, which is not known here", name);
    uses_messages_ |= name == "messages";
    return fields(name);
  }

  /// What compares with a text is one, also where the conversation lacks it.
  static void compare_as_texts(std::vector<std::string>& arguments) {
    const auto is_text = [](const std::string& argument) { return argument.starts_with('\''); };
    if (!std::ranges::any_of(arguments, is_text)) return;
    for (std::string& argument : arguments) {
      if (!is_text(argument)) argument = "(" + argument + "|default('', true))";
    }
  }

  /// printf by Jinja's filter of that kind, which has the same verbs for texts.
  static Result<std::string> formatted(const std::vector<std::string>& arguments) {
    const std::string& format = arguments.front();
    const auto unknown = [&] {
      return fail(ErrorCode::unsupported, "the template calls 'printf' with {}, which is not known here",
                  format.substr(0, 100));
    };
    // Known are texts in the template itself with %s, %v, %d, the same with a width from a value, and %%.
    if (!format.starts_with('\'')) return unknown();
    std::string text = format;
    std::string values;
    size_t next = 1;
    for (size_t at = text.find('%'); at != std::string::npos; at = text.find('%', at + 1)) {
      ++at;
      if (text[at] == '%') continue;
      if (text[at] == '*') {
        if (next == arguments.size()) return unknown();
        values += (values.empty() ? "" : ", ") + arguments[next++] + "|int";
        ++at;
      }
      const bool known = text[at] == 's' || text[at] == 'v' || text[at] == 'd';
      if (!known || next == arguments.size()) return unknown();
      text[at] = 's';
      values += (values.empty() ? "go_text(" : ", go_text(") + arguments[next++] + ")";
    }
    if (next != arguments.size()) return unknown();
    return "(" + text + "|format(" + values + "))";
  }

  Result<std::string> call(const std::string& name, std::vector<std::string> arguments) {
    static constexpr auto kCompare = std::to_array<std::pair<std::string_view, std::string_view>>(
        {{"ne", "!="}, {"lt", "<"}, {"le", "<="}, {"gt", ">"}, {"ge", ">="}});
    const auto joined = [&](std::string_view with) {
      std::string text = "(";
      for (size_t i = 0; i < arguments.size(); ++i)
        text += (i == 0 ? "" : fmt::format(" {} ", with)) + arguments[i];
      return text + ")";
    };
    const size_t count = arguments.size();
    if ((name == "and" || name == "or") && count > 0) return joined(name);
    if (name == "not" && count == 1) return "(not " + arguments[0] + ")";
    if (name == "len" && count == 1) return "((" + arguments[0] + " or '')|length)";
    if (name == "json" && count == 1) return "(" + arguments[0] + "|tojson)";
    if (name == "index" && count == 2) return "(" + arguments[0] + ")[" + arguments[1] + "]";
    if (name == "slice" && count == 2) return "(" + arguments[0] + ")[" + arguments[1] + ":]";
    if (name == "slice" && count == 3)
      return "(" + arguments[0] + ")[" + arguments[1] + ":" + arguments[2] + "]";
    if (name == "print" || name == "println") {
      prints_ = true;
      std::string text = "(''";
      for (const std::string& argument : arguments)
        text += (name == "println" && text.size() > 3 ? " ~ ' ' ~ go_text(" : " ~ go_text(") + argument + ")";
      return text + (name == "println" ? " ~ '\\n')" : ")");
    }
    if (name == "printf" && count >= 1) {
      prints_ = true;
      return formatted(arguments);
    }
    if (name == "currentDate" && count == 0) return std::string("strftime_now('%Y-%m-%d')");
    if (name == "toTypeScriptType" && count == 1) {
      types_ = true;
      return "go_type(" + arguments[0] + ")";
    }
    if ((name == "eq" && count >= 2) || (name == "ne" && count == 2)) compare_as_texts(arguments);
    if (name == "eq" && count >= 2) {
      // Equal to one of them.
      std::string text = "(";
      for (size_t i = 1; i < count && text.size() <= kLongestExpression; ++i)
        text += (i == 1 ? "" : " or ") + arguments[0] + " == " + arguments[i];
      return text + ")";
    }
    for (const auto& [go, jinja] : kCompare) {
      if (name == go && count == 2) return joined(jinja);
    }
    return fail(ErrorCode::unsupported, "the template calls '{}' with {} values, which is not known here",
                name, count);
  }

  std::string_view source_;
  std::string out_;
  std::vector<Block> open_;
  std::vector<std::string> dots_;  // what "." is, innermost last; none: the conversation
  std::vector<Word> words_;
  size_t next_ = 0;
  size_t depth_ = 0;
  int names_ = 0;
  bool uses_messages_ = false;
  bool uses_response_ = false;
  bool prints_ = false;  // which macros the translation needs
  bool types_ = false;
};

}  // namespace

bool is_go_template(std::string_view source) {
  if (source.find("{%") != std::string_view::npos) return false;
  constexpr auto kBeginnings =
      std::to_array<std::string_view>({".", "$", "if ", "range ", "with ", "json ", "/*"});
  // Before a field, a variable or a text, these are calls in Go's language and nothing in Jinja.
  constexpr auto kFunctions =
      std::to_array<std::string_view>({"print", "printf", "println",  "len",   "index",
                                       "slice", "eq",     "ne",       "lt",    "le",
                                       "gt",    "ge",     "html",     "js",    "urlquery",
                                       "call",  "define", "template", "block", "toTypeScriptType"});
  const auto after_blanks = [](std::string_view text) {
    return text.substr(std::min(text.find_first_not_of(kBlank), text.size()));
  };
  for (size_t at = source.find("{{"); at != std::string_view::npos; at = source.find("{{", at + 2)) {
    std::string_view inside = source.substr(at + 2);
    if (inside.starts_with('-')) inside.remove_prefix(1);
    inside = after_blanks(inside);
    if (std::ranges::any_of(kBeginnings, [&](std::string_view sign) { return inside.starts_with(sign); }))
      return true;
    const size_t end = std::min(inside.find_first_not_of("abcdefghijklmnopqrstuvwxyzST"), inside.size());
    const std::string_view operand = after_blanks(inside.substr(end));
    const bool is_operand =
        !operand.empty() && std::string_view(".$\"`").find(operand[0]) != std::string_view::npos;
    if (is_operand && operand.data() > inside.data() + end &&
        std::ranges::find(kFunctions, inside.substr(0, end)) != kFunctions.end())
      return true;
  }
  return false;
}

Result<std::string> jinja_of_go_template(std::string_view source) {
  if (!jinja::is_valid_utf8(source))
    return fail(ErrorCode::invalid_argument, "the template is not valid UTF-8");
  return Translator(source).run();
}

}  // namespace mullama::text
