#include "store/url.hpp"

#include <curl/curl.h>
#include <memory>

namespace mullama::store {

namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK || text == nullptr) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  const std::unique_ptr<CURLU, FreeUrl> handle(curl_url());
  if (!handle) return fail(ErrorCode::out_of_memory, "no memory for an address");
  const CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, std::string(text).c_str(), 0);
  if (code != CURLUE_OK) {
    return fail(ErrorCode::invalid_argument, "'{}' is not an address: {}", text, curl_url_strerror(code));
  }
  const std::string scheme = part(handle.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return fail(ErrorCode::invalid_argument, "'{}' is not an http or https address", text);
  }
  Url url;
  url.origin = scheme + "://" + part(handle.get(), CURLUPART_HOST) + ":" +
               part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  url.path = part(handle.get(), CURLUPART_PATH);
  url.fragment = part(handle.get(), CURLUPART_FRAGMENT);
  const std::string user = part(handle.get(), CURLUPART_USER, CURLU_URLDECODE);
  const std::string password = part(handle.get(), CURLUPART_PASSWORD, CURLU_URLDECODE);
  if (!user.empty() || !password.empty()) url.credentials = user + ":" + password;
  curl_url_set(handle.get(), CURLUPART_USER, nullptr, 0);
  curl_url_set(handle.get(), CURLUPART_PASSWORD, nullptr, 0);
  curl_url_set(handle.get(), CURLUPART_FRAGMENT, nullptr, 0);
  url.address = part(handle.get(), CURLUPART_URL);
  return url;
}

Result<Url> follow_redirect(const Url& from, std::string_view target) {
  auto to = Url::parse(target);
  if (!to)
    return fail(ErrorCode::download, "'{}' redirects to nowhere: {}", from.address, to.error().message);
  if (from.origin.starts_with("https:") && !to->origin.starts_with("https:")) {
    return fail(ErrorCode::download, "'{}' redirects to '{}', which is not encrypted; refused", from.address,
                to->address);
  }
  // Credentials inside a redirect's own address come from the server, not from the user.
  const bool same = to->origin == from.origin;
  to->credentials = same ? from.credentials : std::string();
  to->token = same ? from.token : std::string();
  return to;
}

}  // namespace mullama::store
