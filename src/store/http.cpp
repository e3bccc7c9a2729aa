#include "store/http.hpp"

#include <curl/curl.h>
#include <memory>
#include <mutex>

#include "base/byte_size.hpp"
#include "store/model_name.hpp"

namespace mullama::store {

namespace {

constexpr int kMaxRedirects = 5;
constexpr long kConnectSeconds = 15;
constexpr long kSilenceSeconds = 60;
constexpr size_t kMaxHeaderBytes = size_t{64} << 10;

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, FreeCurl>;
using HeaderList = std::unique_ptr<curl_slist, FreeCurl>;

/// One exchange with one server; the callbacks below are its members' C faces.
class Exchange {
 public:
  Exchange(const HttpRequest& request, const Url& url, const HttpSink& sink, const Canceled& canceled)
      : request_(request), url_(url), sink_(sink), canceled_(canceled) {}

  /// The redirect's target, or nothing when the body was delivered.
  Result<std::optional<std::string>> run() {
    handle_.reset(curl_easy_init());
    if (!handle_) return fail(ErrorCode::out_of_memory, "no memory for a download");
    CURL* curl = handle_.get();
    curl_easy_setopt(curl, CURLOPT_URL, url_.address.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mullama/0.1");
    if (!url_.credentials.empty()) curl_easy_setopt(curl, CURLOPT_USERPWD, url_.credentials.c_str());
    HeaderList headers;
    if (!url_.token.empty())
      headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + url_.token).c_str()));
    if (request_.offset > 0) {
      // By hand: libcurl's own resume treats a server's full answer as an error, which here only means
      // starting over.
      headers.reset(
          curl_slist_append(headers.release(), fmt::format("Range: bytes={}-", request_.offset).c_str()));
    }
    for (const std::string& header : request_.headers) {
      headers.reset(curl_slist_append(headers.release(), header.c_str()));
    }
    if (headers) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Exchange::on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
    const CURLcode code = curl_easy_perform(curl);
    if (!status_) return tl::unexpected<Error>(status_.error());
    return outcome(code);
  }

 private:
  Result<std::optional<std::string>> outcome(CURLcode code) {
    const long answer = response_code();
    if (code == CURLE_ABORTED_BY_CALLBACK) return fail(ErrorCode::canceled, "interrupted");
    if (code == CURLE_OPERATION_TIMEDOUT) {
      return fail(ErrorCode::timeout, "'{}' did not answer in time", url_.address);
    }
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR) {
      return fail(ErrorCode::download, "cannot download '{}': {}", url_.address, curl_easy_strerror(code));
    }
    if (answer >= 300 && answer < 400) {
      char* target = nullptr;
      curl_easy_getinfo(handle_.get(), CURLINFO_REDIRECT_URL, &target);
      if (target == nullptr) {
        return fail(ErrorCode::download, "'{}' answers {} without saying where to go", url_.address, answer);
      }
      return std::optional<std::string>(target);
    }
    if (answer == 404) return fail(ErrorCode::not_found, "'{}' does not exist (404)", url_.address);
    if (answer == 401 || answer == 403) {
      return fail(ErrorCode::permission, "'{}' refuses access ({})", url_.address, answer);
    }
    if (answer == 416) return fail(ErrorCode::unavailable, "'{}' cannot resume", url_.address);
    if (answer != 200 && answer != 206) {
      return fail(ErrorCode::download, "'{}' answers {}", url_.address, answer);
    }
    if (!started_) MULLAMA_TRY(start());
    return std::optional<std::string>();
  }

  [[nodiscard]] long response_code() const {
    long answer = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &answer);
    return answer;
  }

  Status start() {
    started_ = true;
    HttpStart info;
    info.resumed = response_code() == 206;
    if (info.resumed && !content_range_.starts_with(fmt::format("bytes {}-", request_.offset))) {
      return fail(ErrorCode::download, "'{}' sends another range than the one asked for", url_.address);
    }
    info.validator = etag_.empty() ? last_modified_ : etag_;
    curl_off_t length = -1;
    curl_easy_getinfo(handle_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0) info.body_bytes = static_cast<uint64_t>(length);
    if (info.body_bytes.value_or(0) > request_.max_bytes) return too_long();
    return sink_.start ? sink_.start(info) : Status{};
  }

  Status too_long() const {
    return fail(ErrorCode::download, "'{}' sends more than {}, the limit here", url_.address,
                format_bytes(request_.max_bytes));
  }

  Status take(std::span<const std::byte> bytes) {
    const long answer = response_code();
    if (answer != 200 && answer != 206) return {};  // the page of an error or a redirect
    if (!started_) MULLAMA_TRY(start());
    if (bytes.size() > request_.max_bytes - received_) return too_long();
    received_ += bytes.size();
    return sink_.body(bytes);
  }

  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    exchange.status_ = exchange.take(std::as_bytes(std::span(data, size * count)));
    return exchange.status_ ? size * count : 0;
  }

  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const std::string_view line(data, size * count);
    exchange.header_bytes_ += line.size();
    if (exchange.header_bytes_ > kMaxHeaderBytes) {
      exchange.status_ = fail(ErrorCode::download, "'{}' sends endless headers", exchange.url_.address);
      return 0;
    }
    exchange.keep(line, "etag:", exchange.etag_);
    exchange.keep(line, "content-range:", exchange.content_range_);
    exchange.keep(line, "last-modified:", exchange.last_modified_);
    return line.size();
  }

  void keep(std::string_view line, std::string_view key, std::string& value) const {
    if (!equal_ignoring_case(line.substr(0, key.size()), key)) return;
    line.remove_prefix(key.size());
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' '))
      line.remove_suffix(1);
    value = line;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& exchange = *static_cast<Exchange*>(self);
    return exchange.canceled_ && exchange.canceled_() ? 1 : 0;
  }

  const HttpRequest& request_;
  const Url& url_;
  const HttpSink& sink_;
  const Canceled& canceled_;
  Handle handle_;
  Status status_;
  bool started_ = false;
  uint64_t received_ = 0;
  size_t header_bytes_ = 0;
  std::string etag_;
  std::string content_range_;
  std::string last_modified_;
};

}  // namespace

Status http_get(const HttpRequest& request, const HttpSink& sink, const Canceled& canceled) {
  static std::once_flag initialized;
  std::call_once(initialized, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  Url url = request.url;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    MULLAMA_ASSIGN(const auto target, Exchange(request, url, sink, canceled).run());
    if (!target) return {};
    MULLAMA_ASSIGN(url, follow_redirect(url, *target));
  }
  return fail(ErrorCode::download, "'{}' redirects more than {} times", request.url.address, kMaxRedirects);
}

Result<std::string> http_get_text(HttpRequest request, const Canceled& canceled) {
  std::string text;
  HttpSink sink;
  sink.body = [&](std::span<const std::byte> bytes) -> Status {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  MULLAMA_TRY(http_get(request, sink, canceled));
  return text;
}

}  // namespace mullama::store
