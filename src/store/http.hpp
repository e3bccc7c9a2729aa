#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/cancel.hpp"
#include "store/disk.hpp"
#include "store/url.hpp"

namespace mullama::store {

/// One GET with limits: on redirects, size, silence. Bodies are taken as they are, never decompressed.
struct HttpRequest {
  Url url;
  std::vector<std::string> headers;
  uint64_t offset = 0;     ///< Ask for the rest from here.
  uint64_t max_bytes = 0;  ///< More than this, announced or sent, is an error.
};

struct HttpStart {
  bool resumed = false;                ///< The body goes on at `offset`; else it is the whole.
  std::optional<uint64_t> body_bytes;  ///< Of this body, if announced.
  std::string validator;               ///< ETag or Last-Modified, for If-Range.
};

/// Receives the answer: `start` once before the first byte, then `body` for each piece.
struct HttpSink {
  std::function<Status(const HttpStart&)> start;
  Sink body;
};

/// `not_found` for 404, `permission` for 401 and 403, `download` for everything else that is not a body.
[[nodiscard]] Status http_get(const HttpRequest& request, const HttpSink& sink, const Canceled& canceled);
[[nodiscard]] Result<std::string> http_get_text(HttpRequest request, const Canceled& canceled);

}  // namespace mullama::store
