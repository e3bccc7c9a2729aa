#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "text/token_id.hpp"

namespace mullama::server {

/// Brackets that may be open at once in a request's JSON.
inline constexpr size_t kMaxJsonDepth = 128;
inline constexpr size_t kMaxJsonMembers = 2048;  ///< Of one object.

/// The JSON object of a request's body. `invalid_argument` for an empty body ("missing request body"), text
/// that is not JSON, nesting beyond kMaxJsonDepth, an object beyond kMaxJsonMembers, or another value than an
/// object.
[[nodiscard]] Result<nlohmann::ordered_json> parse_body(std::string_view body);

/// The most heap that a request with this body takes until it is answered: the document, the conversation
/// made of it, the prompt as text and as tokens. Measured by tests, not exact.
[[nodiscard]] uint64_t bytes_of_document(std::string_view body);

/// Members of a request. A missing or null member is none; another type is `invalid_argument` naming the
/// member.
[[nodiscard]] Result<std::optional<std::string>> text_member(const nlohmann::ordered_json& object,
                                                             std::string_view name);
[[nodiscard]] Result<std::optional<bool>> flag_member(const nlohmann::ordered_json& object,
                                                      std::string_view name);
/// Whole numbers only, also written as 3.0.
[[nodiscard]] Result<std::optional<int64_t>> integer_member(const nlohmann::ordered_json& object,
                                                            std::string_view name, int64_t minimum,
                                                            int64_t maximum);
[[nodiscard]] Result<std::optional<double>> number_member(const nlohmann::ordered_json& object,
                                                          std::string_view name, double minimum,
                                                          double maximum);
/// An array, or none; members of other types are errors.
[[nodiscard]] Result<const nlohmann::ordered_json*> array_member(const nlohmann::ordered_json& object,
                                                                 std::string_view name);

/// An array of token ids; `name` is how errors call it. Whether a vocabulary has them is for the service to
/// say.
[[nodiscard]] Result<std::vector<text::TokenId>> token_ids(const nlohmann::ordered_json& list,
                                                           std::string_view name);

/// A text's bytes as numbers: it may be part of a character, which JSON could not hold.
[[nodiscard]] nlohmann::ordered_json byte_list(std::string_view text);

}  // namespace mullama::server
