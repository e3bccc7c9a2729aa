#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <unistd.h>

#include "server/http_protocol.hpp"
#include "server/local_service.hpp"
#include "server/native_routes.hpp"
#include "server/routes.hpp"

using namespace mullama;

namespace {

class Bytes final : public server::ByteStream {
 public:
  explicit Bytes(std::string_view input) : input_(input) {}
  ptrdiff_t read(char* into, size_t size) override {
    const size_t count = std::min(size, input_.size());
    std::memcpy(into, input_.data(), count);
    input_.remove_prefix(count);
    return static_cast<ptrdiff_t>(count);
  }
  bool write(std::string_view bytes) override {
    output.append(bytes);
    return true;
  }
  bool gone() override { return false; }
  std::string output;

 private:
  std::string_view input_;
};

/// A server without a single model: everything up to the point where one would be loaded.
struct Empty {
  Empty()
      : folder(std::filesystem::temp_directory_path() / fmt::format("mullama-fuzz-{}", ::getpid())),
        service(settings(), store::Store({folder, {}}), memory::Ledger()) {
    state.service = &service;
    server::add_ollama_routes(router, service);
    server::add_native_routes(router, state);
    limits.body_bytes = 1 << 16;
  }

  static server::ServiceSettings settings() {
    server::ServiceSettings out;
    out.resolve = [](const store::Parameters&) -> Result<server::ModelSettings> {
      return server::ModelSettings();
    };
    return out;
  }

  std::filesystem::path folder;
  server::LocalService service;
  server::ServerState state;
  server::Router router;
  server::AccessRules access;
  server::HttpLimits limits;
  server::HttpCounters counters;
};

}  // namespace

/// The first byte chooses a route whose JSON body follows; 0 sends the bytes as they are. Whatever comes, the
/// answer is not a fault of the server's.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Empty empty;
  static server::HttpProtocol protocol(empty.router, empty.access, empty.limits, empty.counters,
                                       empty.service.ledger(), {});
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  // No route that fetches: a fuzzer must not reach out.
  constexpr std::string_view kPaths[] = {"/api/generate", "/api/chat",   "/api/embed",      "/api/embeddings",
                                         "/api/show",     "/api/copy",   "/api/create",     "/tokenize",
                                         "/detokenize",   "/completion", "/apply-template", "/api/nothing"};
  std::string request(rest);
  if (data[0] != 0) {
    request = fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                          kPaths[data[0] % std::size(kPaths)], rest.size(), rest);
  } else if (rest.find("/api/pull") != std::string_view::npos) {
    return 0;
  }
  Bytes stream(request);
  static_cast<void>(protocol.answer(stream, "127.0.0.1", false));
  if (stream.output.starts_with("HTTP/1.1 5") && !stream.output.starts_with("HTTP/1.1 501")) std::abort();
  return 0;
}
