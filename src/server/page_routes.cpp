#include <algorithm>
#include <array>

#include "page_files.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

/// Nothing from elsewhere, nothing inline, and no page of others may show it in a frame.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

struct File {
  std::string_view path;
  std::string_view type;
  std::string_view text;
};

constexpr std::string_view kShort = "/ui";  ///< Leads to the page.
constexpr std::array kFiles = {
    File{"/ui/", "text/html; charset=utf-8", kPageHtml},
    File{"/ui/style.css", "text/css; charset=utf-8", kPageStyle},
    File{"/ui/page.js", "text/javascript; charset=utf-8", kPageScript},
};

}  // namespace

void add_page_routes(Router& router) {
  router.add("GET", kShort, [](HttpRequest&) {
    HttpReply reply = HttpReply::text("", 308);
    reply.headers = {{"Location", "ui/"}};
    return reply;
  });
  for (const File& file : kFiles) {
    router.add("GET", file.path, [&file](HttpRequest&) {
      HttpReply reply;
      reply.content_type = file.type;
      reply.body = file.text;
      reply.headers = {{"Content-Security-Policy", kPolicy},
                       {"X-Content-Type-Options", "nosniff"},
                       {"Referrer-Policy", "no-referrer"},
                       {"Cache-Control", "no-cache"}};
      return reply;
    });
  }
}

bool is_page_path(std::string_view path) {
  return path == kShort || std::ranges::find(kFiles, path, &File::path) != kFiles.end();
}

}  // namespace mullama::server
