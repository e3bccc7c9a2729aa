#pragma once

#include "base/result.hpp"
#include "server/http.hpp"
#include "server/service.hpp"

namespace mullama::server {

/// POST /v1/responses, without state: what came before must be in `input`.
[[nodiscard]] Result<HttpReply> create_response(Service& service, HttpRequest& http);

}  // namespace mullama::server
