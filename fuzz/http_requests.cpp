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
#include "server/scripted_service.hpp"

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

/// One model under every name, with an answer that has all that an answer may have.
class OneModel final : public server::ScriptedService {
 public:
  explicit OneModel(const std::filesystem::path& folder) : store_({folder, {}}) {
    server::Delta thought;
    thought.thinking = "hm";
    server::Delta words;
    words.text = "One \xc3";
    words.tokens.push_back({{5, "One \xc3", -0.25f}, {{5, "One \xc3", -0.25f}, {6, "b", -1.5f}}});
    server::Delta call;
    call.tool_calls.push_back({"call_1", "f", {{"a", 1}}});
    deltas = {thought, words, call};
    summary.called_tools = true;
    summary.prompt_tokens = 11;
    summary.generated = 3;
    summary.tokens = {1, 2, 5};
  }

  Result<std::unique_ptr<server::Generation>> generate(server::GenerationRequest) override {
    return std::make_unique<Answer>(*this);
  }
  Result<std::vector<text::TokenId>> tokenize(const std::string&, std::string_view text, bool,
                                              bool) override {
    return std::vector<text::TokenId>(text.size(), 5);
  }
  Result<std::string> token_piece(const std::string&, text::TokenId) override { return "\xc3"; }
  const store::Store& store() override { return store_; }

 private:
  store::Store store_;
};

/// Every wire format over that model, so that requests are read to their end; what tells about the server
/// itself has one without a model.
struct Server {
  Server()
      : folder(std::filesystem::temp_directory_path() / fmt::format("mullama-fuzz-{}", ::getpid())),
        model(folder),
        service(settings(), store::Store({folder, {}}), memory::Ledger()) {
    state.service = &service;
    server::add_ollama_routes(router, model);
    server::add_openai_routes(router, model);
    server::add_anthropic_routes(router, model);
    server::add_completion_routes(router, model);
    server::add_state_routes(router, state);
    limits.body_bytes = 1 << 16;
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  /// What requests have created goes with the process: another one may have its number.
  ~Server() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  static server::ServiceSettings settings() {
    server::ServiceSettings out;
    out.resolve = [](const store::Parameters&) -> Result<server::ModelSettings> {
      return server::ModelSettings();
    };
    return out;
  }

  std::filesystem::path folder;
  OneModel model;
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
  static Server on;
  static server::HttpProtocol protocol(on.router, on.access, on.limits, on.counters, on.service.ledger(), {});
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  // No route that fetches: a fuzzer must not reach out.
  constexpr std::string_view kPaths[] = {
      "/api/generate",        "/api/chat",       "/api/embed",
      "/api/embeddings",      "/api/show",       "/api/copy",
      "/api/create",          "/tokenize",       "/detokenize",
      "/completion",          "/apply-template", "/api/nothing",
      "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
      "/v1/responses",        "/v1/messages",    "/v1/messages/count_tokens"};
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
