#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace mullama::text {

/// How a model writes the calls of tools.
struct CallSyntax {
  enum class Body : uint8_t {
    json,   ///< A JSON object with name and arguments, or an array of such objects.
    named,  ///< The name, `separator`, then the arguments as a JSON object.
    tags,   ///< The name, then <arg_key> and <arg_value> elements (GLM).
    gemma,  ///< call:NAME{key:value}, strings between <|"|> marks.
    code,   ///< JSON as above, NAME.call(key=value), or Python source for a tool named "python".
  };
  std::string_view name{};  ///< For messages and tests.
  /// The template's source holds all of these; empty ones do not count.
  std::array<std::string_view, 3> signs{};
  std::string_view open{};  ///< Begins a call or a list of them; empty: the answer itself is the call's JSON.
  std::string_view close{};  ///< Ends it; empty where nothing does.
  Body body = Body::json;
  std::string_view separator{};
  /// Texts around calls that say nothing.
  std::array<std::string_view, 4> noise{};
  std::string_view also_open{};  ///< Begins calls of Body::code.
  bool bare = false;             ///< An answer that is a call's JSON counts without a mark.
  /// How a call is written where one is asked for: before the name, between name and arguments, after those.
  std::array<std::string_view, 3> written{};
};

/// The tags around a thought.
struct ThoughtSyntax {
  std::string_view sign;  ///< In the template's source.
  std::string_view open;
  std::string_view close;
};

/// What a model's answers are made of, told from its template's source by tables of what templates write.
struct AnswerSyntax {
  const CallSyntax* calls = nullptr;  ///< Never null.
  ThoughtSyntax thought;
  bool harmony = false;    ///< Messages in channels (gpt-oss), which hold thoughts and calls.
  bool short_ids = false;  ///< Ids of calls are nine letters or digits (Mistral).

  [[nodiscard]] static AnswerSyntax of_template(std::string_view source);

  /// Whether a prompt ends inside a thought that the template has opened.
  [[nodiscard]] bool opens_thought(std::string_view prompt) const;
  /// Whether a prompt ends with a thought that is over: the answer has none.
  [[nodiscard]] bool closes_thought(std::string_view prompt) const;
};

}  // namespace mullama::text
