#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mullama::sampling {

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;
  friend bool operator==(const CodePointRange&, const CodePointRange&) = default;
  friend auto operator<=>(const CodePointRange&, const CodePointRange&) = default;
};

inline constexpr uint32_t kMaxCodePoint = 0x10ffff;

/// A set of Unicode scalar values (surrogates are not in it), as sorted ranges that neither overlap nor
/// touch.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<CodePointRange> ranges);

  [[nodiscard]] static CodePointSet of(uint32_t code_point) {
    return CodePointSet({{code_point, code_point}});
  }
  [[nodiscard]] static CodePointSet any() { return CodePointSet({{0, kMaxCodePoint}}); }

  [[nodiscard]] const std::vector<CodePointRange>& ranges() const { return ranges_; }
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] bool contains(uint32_t code_point) const;
  [[nodiscard]] CodePointSet complement() const;
  [[nodiscard]] CodePointSet united(const CodePointSet& other) const;
  [[nodiscard]] CodePointSet intersected(const CodePointSet& other) const;
  [[nodiscard]] CodePointSet minus(const CodePointSet& other) const {
    return intersected(other.complement());
  }

 private:
  std::vector<CodePointRange> ranges_;
};

struct ByteRange {
  uint8_t first = 0;
  uint8_t last = 0;
  friend auto operator<=>(const ByteRange&, const ByteRange&) = default;
};

/// The set's UTF-8 encodings as sequences of byte ranges, each the product of its ranges.
[[nodiscard]] std::vector<std::vector<ByteRange>> utf8_sequences(const CodePointSet& set);

void append_utf8(std::string& text, uint32_t code_point);

/// Reads one code point of valid UTF-8 and advances; nothing on an invalid or truncated sequence.
[[nodiscard]] std::optional<uint32_t> next_code_point(std::string_view& text);

}  // namespace mullama::sampling
