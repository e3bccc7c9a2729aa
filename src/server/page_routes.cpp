#include "page_files.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

/// Nothing from elsewhere, nothing inline, and no page of others may show it in a frame.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

void add_file(Router& router, std::string_view path, std::string_view type, std::string_view text) {
  router.add("GET", path, [type, text](HttpRequest&) {
    HttpReply reply;
    reply.content_type = type;
    reply.body = text;
    reply.headers = {{"Content-Security-Policy", kPolicy},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Cache-Control", "no-cache"}};
    return reply;
  });
}

}  // namespace

void add_page_routes(Router& router) {
  router.add("GET", "/ui", [](HttpRequest&) {
    HttpReply reply = HttpReply::text("", 308);
    reply.headers = {{"Location", "ui/"}};
    return reply;
  });
  add_file(router, "/ui/", "text/html; charset=utf-8", kPageHtml);
  add_file(router, "/ui/style.css", "text/css; charset=utf-8", kPageStyle);
  add_file(router, "/ui/page.js", "text/javascript; charset=utf-8", kPageScript);
}

}  // namespace mullama::server
