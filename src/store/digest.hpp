#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama::store {

/// A SHA-256 digest: always 32 bytes, so a path made from one cannot leave its folder.
class Digest {
 public:
  /// Reads "sha256:" or "sha256-" and 64 hexadecimal characters, nothing else.
  [[nodiscard]] static Result<Digest> parse(std::string_view text);
  /// Reads 64 hexadecimal characters.
  [[nodiscard]] static Result<Digest> from_hex(std::string_view hex);

  Digest() = default;
  explicit Digest(const std::array<uint8_t, 32>& bytes) : bytes_(bytes) {}

  [[nodiscard]] std::string hex() const;
  [[nodiscard]] std::string text() const { return "sha256:" + hex(); }
  [[nodiscard]] std::string file_name() const { return "sha256-" + hex(); }
  /// The first 12 hexadecimal characters, for people.
  [[nodiscard]] std::string short_id() const { return hex().substr(0, 12); }

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  std::array<uint8_t, 32> bytes_{};
};

/// Hashes bytes as they pass by.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// The digest of all bytes so far; call it once.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Digest sha256(std::string_view text);

}  // namespace mullama::store
