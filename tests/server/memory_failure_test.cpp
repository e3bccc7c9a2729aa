// Promise C for the server: whatever allocation of a request fails, that request gets an error, of its wire
// format with the status of a fault of ours; nothing leaks, and the same request is answered afterwards. And
// what requests take of the heap is in the ledger before they take it.

#include <array>
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "base/huge_page.hpp"
#include "base/without_exceptions.hpp"
#include "memory/fault.hpp"
#include "memory/reservation.hpp"
#include "server/http_protocol.hpp"
#include "server/http_server.hpp"
#include "server/local_service.hpp"
#include "server/native_routes.hpp"
#include "server/routes.hpp"
#include "store/digest.hpp"
#include "support/failing_heap.hpp"
#include "support/tiny_model.hpp"

namespace mullama::server {
namespace {

using memory::FaultInjector;
using memory::kHost;
using mullama::test::FailingHeap;
using Json = nlohmann::ordered_json;

/// A connection whose bytes lie in memory of its own, so that it takes none while allocations fail.
class Wire final : public ByteStream {
 public:
  explicit Wire(std::string_view input) : input_(input) {}
  ptrdiff_t read(char* into, size_t size) override {
    const size_t count = std::min(size, input_.size());
    input_.copy(into, count);
    input_.remove_prefix(count);
    return static_cast<ptrdiff_t>(count);
  }
  bool write(std::string_view bytes) override {
    if (bytes.size() > output_.size() - written_) return false;
    bytes.copy(output_.data() + written_, bytes.size());
    written_ += bytes.size();
    return true;
  }
  bool gone() override { return false; }
  [[nodiscard]] std::string_view output() const { return {output_.data(), written_}; }

 private:
  std::string_view input_;
  std::array<char, size_t{1} << 18> output_;
  size_t written_ = 0;
};

struct Kind {
  const char* path;
  const char* body;
  const char* end = nullptr;  ///< What a whole stream ends with; nothing for replies in one piece.
};

constexpr const char* kStreamEnd = "[DONE]\n\n";

// Every wire format, as a whole and as a stream, with and without a grammar, and embeddings.
constexpr Kind kKinds[] = {
    {"/api/generate",
     R"({"model":"tiny","prompt":"the an","raw":true,"stream":false,"options":{"temperature":0,"num_predict":3}})"},
    {"/api/generate",
     R"({"model":"tiny","prompt":"the an","options":{"temperature":0,"num_predict":3,"stop":["zz"]}})",
     "}\n"},
    {"/api/chat",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"stream":false,"logprobs":true,)"
     R"("top_logprobs":2,"options":{"temperature":0,"num_predict":3}})"},
    {"/api/chat",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"format":"json",)"
     R"("options":{"temperature":0,"num_predict":3}})",
     "}\n"},
    {"/api/embed", R"({"model":"tiny","input":["the","an"]})"},
    {"/api/embeddings", R"({"model":"tiny","prompt":"the"})"},
    {"/v1/chat/completions",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"temperature":0,"max_tokens":3})"},
    {"/v1/chat/completions",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"temperature":0,"max_tokens":3,)"
     R"("stream":true,"stream_options":{"include_usage":true}})",
     kStreamEnd},
    {"/v1/chat/completions",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"temperature":0,"max_tokens":3,)"
     R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object",)"
     R"("properties":{"a":{"type":"integer"}},"required":["a"]}}}})"},
    {"/v1/completions", R"({"model":"tiny","prompt":"the","temperature":0,"max_tokens":3,"logprobs":1})"},
    {"/v1/embeddings", R"({"model":"tiny","input":"the","encoding_format":"base64"})"},
    {"/v1/embeddings", R"({"model":"tiny","input":[[1,2,3],[4]]})"},
    {"/v1/responses", R"({"model":"tiny","input":"the","temperature":0,"max_output_tokens":3})"},
    {"/v1/responses", R"({"model":"tiny","input":"the","temperature":0,"max_output_tokens":3,"stream":true})",
     "}\n\n"},
    {"/v1/messages",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"temperature":0,"max_tokens":3})"},
    {"/v1/messages",
     R"({"model":"tiny","messages":[{"role":"user","content":"the"}],"temperature":0,"max_tokens":3,"stream":true})",
     "\"message_stop\"}\n\n"},
    {"/completion",
     R"({"model":"tiny","prompt":"the","temperature":0,"n_predict":3,"grammar":"root ::= [a-z]+"})"},
    {"/completion", R"({"model":"tiny","prompt":"the","temperature":0,"n_predict":3,"n_probs":3})"},
    {"/tokenize", R"({"model":"tiny","content":"the an","with_pieces":true})"},
};

std::string request_text(const char* path, std::string_view body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      path, body.size(), body);
}

int status_of(std::string_view reply) {
  return reply.size() > 12 && reply.starts_with("HTTP/1.1 ") ? std::stoi(std::string(reply.substr(9, 3))) : 0;
}

/// A reply's body, with its chunks put together; `whole` says whether all of it was there.
std::string body_of(std::string_view reply, bool& whole) {
  const size_t head = reply.find("\r\n\r\n");
  whole = false;
  if (head == std::string_view::npos) return {};
  std::string_view rest = reply.substr(head + 4);
  if (reply.substr(0, head).find("chunked") == std::string_view::npos) {
    whole = true;
    return std::string(rest);
  }
  std::string body;
  while (true) {
    const size_t line = rest.find("\r\n");
    if (line == std::string_view::npos) return body;
    const auto size =
        static_cast<size_t>(std::strtoul(std::string(rest.substr(0, line)).c_str(), nullptr, 16));
    rest.remove_prefix(line + 2);
    if (size == 0) {
      whole = true;
      return body;
    }
    if (rest.size() < size + 2) return body;
    body += rest.substr(0, size);
    rest.remove_prefix(size + 2);
  }
}

/// The answer's own words and numbers: what is the same whenever it is asked again.
void gather(const Json& value, std::string_view key, std::string& said) {
  if (value.is_object()) {
    for (const auto& [name, member] : value.items()) gather(member, name, said);
  } else if (value.is_array()) {
    for (const Json& entry : value) gather(entry, key, said);
  } else if (key == "response" || key == "content" || key == "text" || key == "delta" || key == "piece" ||
             key == "embedding" || key == "embeddings" || key == "output_text") {
    said += value.is_string() ? value.get<std::string>() : value.dump();
  }
}

std::string said(const std::string& body) {
  std::string out;
  for (size_t begin = 0; begin < body.size();) {
    const size_t end = std::min(body.find('\n', begin), body.size());
    std::string_view line = std::string_view(body).substr(begin, end - begin);
    if (line.starts_with("data: ")) line.remove_prefix(6);
    const Json document = Json::parse(line, nullptr, false);
    if (!document.is_discarded()) gather(document, {}, out);
    begin = end + 1;
  }
  return out;
}

/// Whether an error has the shape that clients of this path expect, and tells of memory.
bool is_error_of(std::string_view path, const std::string& body) {
  const Json document = Json::parse(body, nullptr, false);
  if (!document.is_object() || !document.contains("error")) return false;
  if (body.find("memory") == std::string::npos && body.find("cannot allocate") == std::string::npos)
    return false;
  // Where the memory does not suffice for more, all paths get this one.
  if (body == R"({"error":"out of memory"})") return true;
  const Json& error = document["error"];
  if (path.starts_with("/v1/messages")) return document["type"] == "error" && error["type"] == "api_error";
  if (path.starts_with("/v1/")) return error["message"].is_string() && error["type"] == "api_error";
  return error.is_string();
}

class MemoryFailure : public ::testing::Test {
 protected:
  void SetUp() override {
    mullama::test::TinyModel tiny;
    tiny.layers = 1;
    tiny.chat_template = "{% for message in messages %}<s>{{ message.content }}{% endfor %}";
    const auto path = folder_.path() / "tiny.gguf";
    ASSERT_TRUE(tiny.write(path));
    ServiceSettings settings;
    settings.models = {{"tiny:latest", path.string()}};
    settings.keep_alive.after = KeepAlive::kForever;
    settings.resolve = [](const store::Parameters&) -> Result<ModelSettings> {
      ModelSettings model;
      model.load.backend.threads = 1;
      model.context.n_ctx = 256;
      model.context.n_batch = 32;
      model.context.n_sequences = 2;
      return model;
    };
    service_ = std::make_unique<LocalService>(std::move(settings),
                                              store::Store({folder_.path() / "store", {}}), ledger_);
    state_.service = service_.get();
    add_ollama_routes(router_, *service_);
    add_openai_routes(router_, *service_);
    add_anthropic_routes(router_, *service_);
    add_native_routes(router_, state_);
    protocol_ = std::make_unique<HttpProtocol>(router_, access_, limits_, counters_, ledger_,
                                               [](const HttpLogEntry&) {});
    wire_ = std::make_unique<std::optional<Wire>>();
  }
  void TearDown() override { FaultInjector::fail_nth(0); }

  void restart() {
    protocol_.reset();
    service_.reset();
    router_ = Router();
    ledger_ = memory::Ledger();
    SetUp();
  }

  std::string_view answer(std::string_view request) {
    wire_->emplace(request);
    static_cast<void>(protocol_->answer(**wire_, "127.0.0.1", false));
    return (*wire_)->output();
  }

  /// Until nothing runs and waits, and the account is at rest, with as much held as before, if that is given.
  void settle(std::optional<uint64_t> held = std::nullopt) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    const auto busy = [&] {
      for (const RunningModel& model : service_->running()) {
        if (model.running + model.waiting > 0) return true;
      }
      const memory::Usage usage = ledger_.usage();
      return usage.unaccounted(kHost) != 0 || usage.total(kHost) != held.value_or(usage.total(kHost));
    };
    while (busy()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline)
          << "a request went on after its reply, or left something behind";
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  /// Fails the k-th allocation of a request for every k; `arm` makes it fail, `reached` says whether it came
  /// to that.
  template <class Arm, class Reached, class Disarm>
  void fail_each(const Kind& kind, const std::string& request, Arm&& arm, Reached&& reached, Disarm&& disarm);

  enum class Question : uint8_t { plain, log_probs, grammar, embedding };
  /// What the service answers, in one text.
  Result<std::string> ask(Question question, bool unload);
  void fail_each_of_heap(Question question, bool unload);

  mullama::test::TemporaryFolder folder_;
  memory::Ledger ledger_;
  std::unique_ptr<LocalService> service_;
  ServerState state_;
  Router router_;
  AccessRules access_;
  HttpLimits limits_;
  HttpCounters counters_;
  std::unique_ptr<HttpProtocol> protocol_;
  std::unique_ptr<std::optional<Wire>> wire_;
};

TEST_F(MemoryFailure, TheBufferOfAnUploadIsReserved) {
  const std::string request =
      fmt::format("POST /api/blobs/sha256:{} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nGGUF",
                  store::sha256("GGUF").hex());
  const uint64_t held = ledger_.usage().total(kHost);
  ledger_.set_budget(kHost, held + kHugePageBytes - 1);
  bool whole = false;
  const std::string refused(answer(request));
  EXPECT_GE(status_of(refused), 500) << refused;
  EXPECT_TRUE(is_error_of("/api/blobs", body_of(refused, whole))) << refused;
  ledger_.set_budget(kHost, held + kHugePageBytes);
  EXPECT_EQ(status_of(answer(request)), 201) << wire_->value().output();
  EXPECT_EQ(ledger_.usage().total(kHost), held);
}

Result<std::string> MemoryFailure::ask(Question question, bool unload) {
  std::optional<KeepAlive> keep;
  if (unload) keep = KeepAlive{std::chrono::nanoseconds(0)};
  std::string out;
  if (question == Question::embedding) {
    EmbedRequest request;
    request.model = "tiny";
    for (const char* input : {"the and", "a text of more words than fit into the string itself"})
      request.inputs.emplace_back(input);
    request.keep_alive = keep;
    MULLAMA_ASSIGN(const Embeddings made, service_->embed(std::move(request)));
    for (const std::vector<float>& vector : made.vectors) {
      for (const float value : vector) out += fmt::format("{} ", value);
    }
    return out;
  }
  GenerationRequest request;
  request.model = "tiny";
  request.prompt = TextPrompt{"the and of words that go on for more than a batch of tokens", true, true};
  request.sampler.temperature = 0;
  request.max_tokens = 4;
  request.stop = {"a stop string that never comes"};
  request.keep_alive = keep;
  if (question == Question::log_probs) request.top_logprobs = 3;
  if (question == Question::grammar) {
    request.format.kind = OutputFormat::Kind::gbnf;
    request.format.grammar = "root ::= [a-z]+ (\" \" [a-z]+)*";
  }
  std::string probabilities;
  MULLAMA_ASSIGN(const auto generation, service_->generate(std::move(request)));
  while (true) {
    MULLAMA_ASSIGN(const auto delta, generation->next());
    if (!delta) return out + probabilities;
    out += delta->text;
    for (const ChosenToken& token : delta->tokens) {
      for (const TokenLogProb& other : token.top)
        probabilities += fmt::format("|{} {}", other.text, other.log_prob);
    }
  }
}

void MemoryFailure::fail_each_of_heap(Question question, bool unload) {
  SCOPED_TRACE(static_cast<int>(question));
  Result<std::string> wanted;
  for (int i = 0; i < 3; ++i) {
    wanted = ask(question, unload);
    ASSERT_TRUE(wanted) << wanted.error().message;
    settle();
  }
  const uint64_t idle = ledger_.usage().total(kHost);
  const int64_t objects = mullama::test::heap_objects();
  uint64_t failures = 0;
  for (int64_t k = 1;; ++k) {
    std::optional<FailingHeap> heap(std::in_place, k);
    const auto answer = without_exceptions("the request", [&] { return ask(question, unload); });
    const bool reached = heap->reached();
    heap.reset();
    if (answer) {
      ASSERT_EQ(*answer, *wanted) << k;
    } else {
      ASSERT_EQ(answer.error().code, ErrorCode::out_of_memory) << k << ": " << answer.error().message;
      ++failures;
    }
    settle(idle);
    ASSERT_EQ(ledger_.usage().total(kHost), idle) << k;
    if (!reached) {
      std::printf("question %d: each of %ld allocations failed once, %lu times the request with it\n",
                  static_cast<int>(question), static_cast<long>(k - 1), static_cast<unsigned long>(failures));
      break;
    }
    const auto again = ask(question, unload);
    ASSERT_TRUE(again) << k << ": " << again.error().message;
    ASSERT_EQ(*again, *wanted) << k;
    settle();
    // Queues keep a block of memory now and then.
    ASSERT_LE(mullama::test::heap_objects(), objects + 8) << k;
  }
  EXPECT_GT(failures, 10u);
}

template <class Arm, class Reached, class Disarm>
void MemoryFailure::fail_each(const Kind& kind, const std::string& request, Arm&& arm, Reached&& reached,
                              Disarm&& disarm) {
  SCOPED_TRACE(fmt::format("{} {}", kind.path, kind.body));
  bool whole = false;
  std::string wanted;
  // What is made once and kept, such as the vocabulary of grammars, is made now.
  for (int i = 0; i < 3; ++i) {
    const std::string_view reply = answer(request);
    ASSERT_EQ(status_of(reply), 200) << reply;
    wanted = said(body_of(reply, whole));
    ASSERT_TRUE(whole);
    ASSERT_NE(wanted, "");
  }
  settle();
  const uint64_t idle = ledger_.usage().total(kHost);
  const int64_t objects = mullama::test::heap_objects();
  uint64_t refused = 0;
  uint64_t broken_off = 0;
  uint64_t survived = 0;
  for (uint64_t k = 1;; ++k) {
    arm(k);
    const std::string_view reply = answer(request);
    const bool failed = reached(k);
    disarm();
    const int status = status_of(reply);
    const std::string body = body_of(reply, whole);
    const bool complete = whole && (kind.end == nullptr || body.ends_with(kind.end)) && said(body) == wanted;
    if (status == 200 && complete) {
      survived += failed ? 1 : 0;
    } else if (status == 200) {
      // The status of a stream is sent before its end is known: it ends with an error, or breaks off.
      ASSERT_NE(kind.end, nullptr) << k << ": " << reply;
      ASSERT_TRUE(!whole || body.find("memory") != std::string::npos ||
                  body.find("cannot allocate") != std::string::npos)
          << k << ": " << reply;
      ++broken_off;
    } else {
      ASSERT_EQ(status, 500) << k << ": " << reply;
      ASSERT_TRUE(is_error_of(kind.path, body)) << k << ": " << reply;
      ++refused;
    }
    settle(idle);
    ASSERT_EQ(ledger_.usage().total(kHost), idle) << k;
    if (!failed) {
      ASSERT_TRUE(complete) << reply;
      break;
    }
    const std::string_view again = answer(request);
    ASSERT_EQ(status_of(again), 200) << k << ": " << again;
    ASSERT_EQ(said(body_of(again, whole)), wanted) << k;
    ASSERT_TRUE(whole) << k;
    settle();
    // Queues keep a block of memory now and then.
    ASSERT_LE(mullama::test::heap_objects(), objects + 8) << k;
  }
  std::printf("%s%s: %lu refused, %lu streams ended early, %lu did without\n", kind.path,
              kind.end == nullptr ? "" : " (stream)", static_cast<unsigned long>(refused),
              static_cast<unsigned long>(broken_off), static_cast<unsigned long>(survived));
  EXPECT_GT(refused, 0u);
}

// M4: the heap fails below the wire formats. Not in them: their JSON library allocates in destructors, which
// must not throw, so there a failure of so few bytes ends the process.
TEST_F(MemoryFailure, EveryAllocationOfTheHeapMayFailBelowTheWireFormats) {
  for (const Question question :
       {Question::plain, Question::log_probs, Question::grammar, Question::embedding})
    fail_each_of_heap(question, false);
}

// M4
TEST_F(MemoryFailure, EveryAllocationOfTheLedgerMayFailInEveryWireFormat) {
  ASSERT_TRUE(FaultInjector::built_in());
  for (const Kind& kind : kKinds) {
    fail_each(
        kind, request_text(kind.path, kind.body), [](uint64_t k) { FaultInjector::fail_nth(k); },
        [](uint64_t k) { return FaultInjector::seen() >= k; }, [] { FaultInjector::fail_nth(0); });
    if (HasFatalFailure()) return;
  }
}

// M4: the request that brings its model into memory and takes it out again.
TEST_F(MemoryFailure, EveryAllocationOfARequestThatLoadsItsModelMayFail) {
  const Kind kind{"/api/generate",
                  R"({"model":"tiny","prompt":"the","raw":true,"stream":false,"keep_alive":0,)"
                  R"("options":{"temperature":0,"num_predict":2}})"};
  fail_each(
      kind, request_text(kind.path, kind.body), [](uint64_t k) { FaultInjector::fail_nth(k); },
      [](uint64_t k) { return FaultInjector::seen() >= k; }, [] { FaultInjector::fail_nth(0); });
  settle();
  EXPECT_EQ(ledger_.usage().total(kHost), 0u);
}

// M4: the same for the heap, below the wire format.
TEST_F(MemoryFailure, EveryAllocationOfTheHeapMayFailWhileAModelComesAndGoes) {
  fail_each_of_heap(Question::plain, true);
}

// M4: one of two requests at once pays for a failure, and the other is answered as if it were alone.
TEST_F(MemoryFailure, OthersAreAnsweredWhileOneFails) {
  const std::string long_one = request_text(
      "/api/generate",
      R"({"model":"tiny","prompt":"an and","raw":true,"stream":false,"options":{"temperature":0,"num_predict":120}})");
  bool whole = false;
  const std::string wanted = said(body_of(answer(long_one), whole));
  settle();
  const std::string short_one = request_text(kKinds[0].path, kKinds[0].body);
  ASSERT_EQ(status_of(answer(short_one)), 200);
  uint64_t failures = 0;
  for (int round = 0; round < 20; ++round) {
    Wire other(long_one);
    std::atomic<bool> ended{false};
    std::thread thread([&] {
      static_cast<void>(protocol_->answer(other, "127.0.0.1", false));
      ended = true;
    });
    while (service_->running().front().running == 0 && !ended) std::this_thread::yield();
    FaultInjector::fail_nth(1);
    const int status = status_of(answer(short_one));
    FaultInjector::fail_nth(0);
    thread.join();
    failures += status == 500 ? 1 : 0;
    // The allocation that failed may have been the long one's, if that one was still beginning.
    if (status == 200 && status_of(other.output()) == 500) continue;
    ASSERT_EQ(status_of(other.output()), 200) << other.output();
    ASSERT_EQ(said(body_of(other.output(), whole)), wanted);
  }
  EXPECT_GT(failures, 0u);
  settle();
}

/// Sends a request over a connection of its own and reads what comes, in memory of its own.
class Client {
 public:
  std::string_view ask(uint16_t port, std::string_view request) {
    size_ = 0;
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        ::send(socket, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size())) {
      for (ssize_t got = 1; got > 0 && size_ < reply_.size();
           size_ += static_cast<size_t>(std::max<ssize_t>(got, 0)))
        got = ::recv(socket, reply_.data() + size_, reply_.size() - size_, 0);
    }
    ::close(socket);
    return {reply_.data(), size_};
  }

 private:
  std::array<char, 1 << 16> reply_;
  size_t size_ = 0;
};

// M4: the same with everything around it: accepting, the connection's thread, and its end.
TEST_F(MemoryFailure, AServerOutlivesEveryFailedAllocation) {
  auto bound = HttpServer::bind("127.0.0.1", 0, std::move(router_), AccessRules(), limits_, ledger_, {});
  ASSERT_TRUE(bound) << bound.error().message;
  HttpServer& server = **bound;
  std::thread serving([&] { server.serve(); });
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const auto client = std::make_unique<Client>();
  bool whole = false;
  const std::string wanted = body_of(client->ask(server.port(), request), whole);
  EXPECT_EQ(wanted, "Ollama is running");
  for (int64_t k = 1;; ++k) {
    std::optional<FailingHeap> heap(std::in_place, k);
    const std::string_view reply = client->ask(server.port(), request);
    const bool failed = heap->reached();
    heap.reset();
    const int status = status_of(reply);
    EXPECT_TRUE(status == 500 || status == 503 || (status == 200 && body_of(reply, whole) == wanted))
        << k << ": " << reply;
    EXPECT_EQ(body_of(client->ask(server.port(), request), whole), wanted) << k;
    if (!failed || HasFailure()) break;
  }
  server.stop();
  serving.join();
  settle();
}

// What a request takes of the heap is reserved first: the body, its document and what is made of it.
TEST_F(MemoryFailure, RequestsTakeNoMoreOfTheHeapThanTheyReserve) {
  std::string words;
  while (words.size() < 400'000) words += "the an and \\n in";
  std::string values = R"({"model":"tiny","prompt":"the","x":[)";
  while (values.size() < 300'000) values += "[],{\"a\":1},";
  values += "0]}";
  std::string messages = R"({"model":"tiny","messages":[)";
  while (messages.size() < 300'000) messages += R"({"role":"user","content":"a"},)";
  messages += R"({"role":"user","content":"a"}]})";
  const std::string plain = R"({"model":"tiny","prompt":")" + words + R"("})";
  const std::string chat = R"({"model":"tiny","messages":[{"role":"user","content":")" + words + R"("}]})";
  const std::pair<const char*, const std::string*> requests[] = {
      {"/api/generate", &plain},           {"/api/chat", &chat},
      {"/v1/chat/completions", &chat},     {"/v1/messages", &chat},
      {"/v1/chat/completions", &messages}, {"/api/chat", &messages},
      {"/api/generate", &values},          {"/tokenize", &values}};
  for (const auto& [path, body] : requests) {
    // A new account, whose peak is this request's.
    restart();
    ASSERT_EQ(status_of(answer(request_text(kKinds[0].path, kKinds[0].body))), 200);
    settle();
    const uint64_t before = ledger_.usage().in(kHost, memory::Pool::runtime);
    const std::string request = request_text(path, *body);
    mullama::test::reset_heap_peak();
    const int64_t heap = mullama::test::heap_bytes();
    const int status = status_of(answer(request));
    const int64_t took = mullama::test::heap_peak() - heap;
    uint64_t peak = 0;
    for (const auto& row : ledger_.usage().rows) peak = row.pool == memory::Pool::runtime ? row.peak : peak;
    const auto reserved = static_cast<int64_t>(peak - before);
    std::printf("%s, %zu bytes: status %d, took %.1f MiB of %.1f MiB reserved\n", path, body->size(), status,
                static_cast<double>(took) / (1 << 20), static_cast<double>(reserved) / (1 << 20));
    EXPECT_LE(took, reserved) << path;
    settle();
    EXPECT_EQ(ledger_.usage().in(kHost, memory::Pool::runtime), before);
  }
}

// A body that the budget has no room for is refused before its bytes are kept, and the next request is
// answered.
TEST_F(MemoryFailure, ABodyBeyondTheBudgetIsRefused) {
  const std::string small = request_text(kKinds[0].path, kKinds[0].body);
  ASSERT_EQ(status_of(answer(small)), 200);
  settle();
  const uint64_t idle = ledger_.usage().total(kHost);
  ledger_.set_budget(kHost, idle + (uint64_t{4} << 20));
  const std::string text(size_t{1} << 20, 'a');
  for (const char* path : {"/api/generate", "/v1/completions", "/completion"}) {
    const std::string large = request_text(path, R"({"model":"tiny","prompt":")" + text + R"("})");
    mullama::test::reset_heap_peak();
    const int64_t heap = mullama::test::heap_bytes();
    const std::string reply(answer(large));
    bool whole = false;
    EXPECT_EQ(status_of(reply), 500) << reply;
    EXPECT_NE(body_of(reply, whole).find("insufficient memory for what a request's body says"),
              std::string::npos)
        << reply;
    EXPECT_LT(mullama::test::heap_peak() - heap, int64_t{3} << 20);
    EXPECT_EQ(ledger_.usage().total(kHost), idle);
  }
  EXPECT_EQ(status_of(answer(small)), 200);
}

}  // namespace
}  // namespace mullama::server
