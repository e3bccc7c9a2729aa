#pragma once

#include <string>
#include <string_view>

namespace mullama::text {

/// Whether `text` is in Unicode normalization form C for sure, because all its characters come before the
/// first one that combines or composes.
[[nodiscard]] bool is_surely_nfc(std::string_view text);

/// Unicode normalization form C, as the tokenizers of the Qwen and NeoX families want their input. Invalid
/// bytes stay as they are. Takes n log n steps even for a text of nothing but combining marks.
[[nodiscard]] std::string to_nfc(std::string_view text);

/// The words of an uncased BERT with one space between them: control characters dropped, accents stripped,
/// lower case; punctuation and CJK ideographs are words of their own.
[[nodiscard]] std::string to_bert_words(std::string_view text);

}  // namespace mullama::text
