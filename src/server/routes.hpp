#pragma once

#include "server/http.hpp"
#include "server/service.hpp"

namespace mullama::server {

/// Each adds the routes of one wire format, and how it tells errors. `service` outlives the router.
void add_ollama_routes(Router& router, Service& service);
void add_openai_routes(Router& router, Service& service);
void add_anthropic_routes(Router& router, Service& service);

/// A page for browsers at /ui/, which talks with models and shows the memory they take.
void add_page_routes(Router& router);
/// Whether a path is one of that page's, which hold nothing that needs a key.
[[nodiscard]] bool is_page_path(std::string_view path);

}  // namespace mullama::server
