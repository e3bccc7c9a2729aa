#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama::store {

/// An http or https address, taken apart and checked.
struct Url {
  std::string origin;       ///< "https://host:443": scheme, host and port, always with the port.
  std::string path;         ///< "/a/b.gguf", still percent-encoded.
  std::string credentials;  ///< "user:password" if the address held them.
  std::string token;        ///< Proves who asks; belongs to the origin as credentials do.
  std::string fragment;     ///< What follows '#'.
  std::string address;      ///< The address to fetch: without credentials and fragment.

  [[nodiscard]] static Result<Url> parse(std::string_view text);
};

/// Where a redirect leads. Going from https to http is refused, and credentials stay with the origin they
/// were given for: a server cannot have them sent elsewhere.
[[nodiscard]] Result<Url> follow_redirect(const Url& from, std::string_view target);

}  // namespace mullama::store
