#pragma once

#include "server/http.hpp"
#include "server/service.hpp"

namespace mullama::server::ollama {

/// generate, chat, embed, embeddings.
void add_answer_routes(Router& router, Service& service);
/// tags, ps, show, copy, delete, version.
void add_model_routes(Router& router, Service& service);
/// pull, create, blobs: what writes into the store.
void add_store_routes(Router& router, Service& service);

}  // namespace mullama::server::ollama
