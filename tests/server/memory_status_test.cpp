// What the server says of its memory, and what it does with it: plans and receipts in /memory, models that
// are fitted into the budget, KV pages that go back, and the stacks of its threads.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "base/thread_team.hpp"
#include "engine/memory_report.hpp"
#include "memory/budget.hpp"
#include "memory/residency.hpp"
#include "server/http_server.hpp"
#include "server/native_routes.hpp"
#include "server/serve.hpp"
#include "server/stack_thread.hpp"
#include "support/tiny_model.hpp"

namespace mullama::server {
namespace {

using memory::kHost;
using memory::Pool;
using Json = nlohmann::ordered_json;

class MemoryStatus : public ::testing::Test {
 protected:
  void SetUp() override {
    mullama::test::TinyModel tiny;
    tiny.context = 8192;
    for (const char* name : {"one", "two"}) {
      const auto path = folder_.path() / (std::string(name) + ".gguf");
      ASSERT_TRUE(tiny.write(path));
      settings_.models.emplace_back(std::string(name) + ":latest", path.string());
    }
    settings_.keep_alive.after = KeepAlive::kForever;
    settings_.log = [this](LogLevel, const std::string& line) {
      const std::lock_guard lock(log_mutex_);
      log_ += line + "\n";
    };
    settings_.resolve = [this](const store::Parameters&) -> Result<ModelSettings> {
      ModelSettings model;
      model.load.backend.threads = 1;
      model.context = context_;
      return model;
    };
    context_.n_ctx = 512;
    context_.n_batch = 64;
    context_.n_sequences = 2;
  }

  LocalService& service() {
    if (!service_) {
      service_ =
          std::make_unique<LocalService>(settings_, store::Store({folder_.path() / "store", {}}), ledger_);
      state_.service = service_.get();
    }
    return *service_;
  }

  static GenerationRequest request(const std::string& prompt, int32_t max_tokens, std::string model = "one") {
    GenerationRequest asked;
    asked.model = std::move(model);
    asked.prompt = TextPrompt{prompt};
    asked.max_tokens = max_tokens;
    asked.options = {{"temperature", 0.0}};
    return asked;
  }

  Summary ask(GenerationRequest asked) {
    auto generation = service().generate(std::move(asked));
    EXPECT_TRUE(generation) << generation.error().message;
    if (!generation) return {};
    while (true) {
      const auto delta = (*generation)->next();
      EXPECT_TRUE(delta) << delta.error().message;
      if (!delta || !*delta) break;
    }
    return (*generation)->summary();
  }

  Json memory() {
    auto status = memory_status(state_);
    EXPECT_TRUE(status) << status.error().message;
    return std::move(*status);
  }

  std::string log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  static bool wait_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  mullama::test::TemporaryFolder folder_;
  memory::Ledger ledger_;
  engine::ContextParams context_;
  std::mutex log_mutex_;
  std::string log_;
  ServiceSettings settings_;
  std::unique_ptr<LocalService> service_;
  ServerState state_;
};

std::string long_text(size_t words, size_t from) {
  std::string text;
  for (size_t i = 0; i < words; ++i) text += "w" + std::to_string(from + i * 7 % 1000) + " ";
  return text;
}

TEST_F(MemoryStatus, APlanWithReasonsStandsBesideEachModel) {
  ask(request("the and", 4));
  ask(request("the and", 4, "two"));
  const Json status = memory();
  ASSERT_EQ(status["models"].size(), 2u);
  std::map<std::string, uint64_t> planned;
  for (const Json& model : status["models"]) {
    for (const Json& row : model["plan"]) {
      EXPECT_FALSE(row["why"].get<std::string>().empty());
      EXPECT_EQ(row["device"], "host");
      if (row["why"].get<std::string>().find("sampler") == std::string::npos)
        planned[row["pool"]] += row["bytes"].get<uint64_t>();
    }
  }
  std::map<std::string, uint64_t> held;
  for (const Json& pool : status["pools"]) {
    if (pool["bytes"].get<uint64_t>() > 0) held[pool["pool"]] = pool["bytes"].get<uint64_t>();
  }
  EXPECT_EQ(planned, held);
}

TEST_F(MemoryStatus, TheLastReceiptsAreKeptAndNoMore) {
  EXPECT_TRUE(memory_status((service(), state_))->at("receipts").empty());
  GenerationRequest cut = request(long_text(400, 0), 2);
  cut.truncate = true;
  const Summary first = ask(std::move(cut));
  EXPECT_GT(first.receipt.tokens_cut, 0u);
  const Json one = memory()["receipts"];
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0]["model"], "one:latest");
  EXPECT_EQ(one[0]["reason"], "length");
  EXPECT_EQ(one[0]["kv_bytes"], first.receipt.kv_bytes);
  EXPECT_EQ(one[0]["tokens_cut"], first.receipt.tokens_cut);
  EXPECT_EQ(one[0]["prompt_tokens"], first.prompt_tokens);
  for (int i = 0; i < 40; ++i) ask(request("the and in " + std::to_string(i), 1 + i % 3));
  const Json all = memory()["receipts"];
  ASSERT_EQ(all.size(), ReceiptLog::kKept);
  EXPECT_EQ(all[0]["generated_tokens"], 1 + 39 % 3);
  EXPECT_EQ(all[31]["generated_tokens"], 1 + 8 % 3);
}

// Whoever leaves has a receipt, too.
TEST_F(MemoryStatus, ACanceledRequestLeavesItsReceipt) {
  // Seconds of writing: whoever leaves after the first token leaves before the last one, however busy the
  // machine is.
  context_.n_ctx = 8192;
  {
    auto generation = service().generate(request("the and", 8000));
    ASSERT_TRUE(generation);
    ASSERT_TRUE((*generation)->next());
  }
  ASSERT_TRUE(wait_until([&] { return memory()["receipts"].size() == 1; }));
  EXPECT_EQ(memory()["receipts"][0]["reason"], "canceled");
  EXPECT_GT(memory()["receipts"][0]["kv_bytes"], 0u);
}

TEST_F(MemoryStatus, ReceiptsOfRequestsAtOnceAddUpToTheModelsEvictions) {
  settings_.cache_bytes = 20000;
  context_.n_ctx = 256;
  std::vector<std::thread> clients;
  for (size_t client = 0; client < 4; ++client) {
    static_cast<void>(service());
    clients.emplace_back([this, client] {
      for (size_t i = 0; i < 4; ++i) ask(request(long_text(10 + 7 * client, 31 * client + 111 * i), 20));
    });
  }
  for (std::thread& client : clients) client.join();
  const Json status = memory();
  ASSERT_EQ(status["receipts"].size(), 16u);
  uint64_t charged = 0;
  for (const Json& receipt : status["receipts"]) charged += receipt["pages_evicted"].get<uint64_t>();
  EXPECT_GT(charged, 0u);
  EXPECT_EQ(status["models"][0]["pages_evicted"], charged);
}

uint64_t resident_kv(const Json& status) {
  for (const Json& pool : status["pools"]) {
    if (pool["pool"] == "kv") return pool["residency"]["resident"].get<uint64_t>();
  }
  return 0;
}

TEST_F(MemoryStatus, IdlePagesGoBackAfterTheirTimeAndAnswersGoOn) {
  settings_.release_idle = std::chrono::milliseconds(50);
  const Summary first = ask(request(long_text(60, 0), 8));
  // The pages go back before the model tells that it uses none.
  ASSERT_TRUE(wait_until([&] {
    const Json status = memory();
    return resident_kv(status) == 0 && status["models"][0]["prompt_cache_bytes"] == 0u &&
           status["models"][0]["kv_bytes_used"] == 0u;
  }));
  // Not an eviction: nobody needed the place.
  EXPECT_EQ(memory()["models"][0]["pages_evicted"], 0u);
  const Summary again = ask(request(long_text(60, 0), 8));
  EXPECT_EQ(again.tokens, first.tokens);
  EXPECT_EQ(again.prompt_reused, 0u);
  ASSERT_TRUE(wait_until([&] { return resident_kv(memory()) == 0; }));
}

TEST_F(MemoryStatus, WithoutReleaseIdleThePromptCacheStays) {
  ask(request(long_text(60, 0), 8));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_GT(resident_kv(memory()), 0u);
  EXPECT_GT(memory()["models"][0]["prompt_cache_bytes"], 0u);
}

TEST_F(MemoryStatus, FitChoosesContextAndTypeForTheBudgetAndSaysWhat) {
  settings_.fit = true;
  context_.n_ctx = 0;
  // Room for the model, for requests, and for little more than a f16 cache of 4096 tokens for each sequence.
  memory::Ledger planned;
  const auto file = gguf::File::open(settings_.models[0].second);
  ASSERT_TRUE(file);
  const auto definition = model::define(*file);
  ASSERT_TRUE(definition);
  engine::LoadParams load;
  load.backend.threads = 1;
  engine::ContextParams wanted = context_;
  wanted.n_ctx = 4096;
  const auto plan = engine::plan_run(*file, *definition, load, wanted);
  ASSERT_TRUE(plan);
  const uint64_t stacks = Stack::footprint(ThreadTeam::kStackBytes) + Stack::footprint(Stack::kSmall);
  const uint64_t budget = plan->total() + stacks + (uint64_t{5} << 20);
  ledger_.set_budget(kHost, budget);
  ask(request("the and", 4));
  const Json model = memory()["models"][0];
  EXPECT_NE(
      log().find(fmt::format("chose --ctx-size {} --kv-cache-type {} for one:latest",
                             model["context_size"].get<uint32_t>(), model["key_type"].get<std::string>())),
      std::string::npos)
      << log();
  EXPECT_EQ(model["context_size"], 8192u);
  EXPECT_NE(model["key_type"], "f16");
  EXPECT_LE(ledger_.usage().total(kHost), budget);
  // More than was fitted: what was chosen is not chosen again for every request that asks for it.
  GenerationRequest large = request("the and", 4);
  large.num_ctx = 8192;
  ask(std::move(large));
  const std::string before = log();
  ask(request("in", 2));
  EXPECT_EQ(log(), before);
}

TEST_F(MemoryStatus, AFittedModelMakesRoomRatherThanLiveInACorner) {
  settings_.fit = true;
  context_.n_ctx = 0;
  context_.n_sequences = 1;
  ask(request("the and", 2));
  const uint64_t one = ledger_.usage().total(kHost);
  service_.reset();
  log_.clear();
  ledger_.set_budget(kHost, one + (uint64_t{3} << 20));
  ask(request("the and", 2));
  ask(request("the and", 2, "two"));
  const Json models = memory()["models"];
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0]["name"], "two:latest");
  EXPECT_EQ(models[0]["context_size"], 8192u);
  EXPECT_NE(log().find("unloading one:latest"), std::string::npos) << log();
}

TEST_F(MemoryStatus, AFittedContextThatIsSmallerThanAskedIsToldAndKept) {
  settings_.fit = true;
  context_.n_ctx = 0;
  context_.n_sequences = 1;
  ask(request("the and", 2));
  const Json all = memory()["models"][0];
  service_.reset();
  log_.clear();
  // Less than a q4_0 cache of all that is asked for.
  ledger_.set_budget(kHost, ledger_.usage().total(kHost) + all["total_bytes"].get<uint64_t>() -
                                all["kv_bytes"].get<uint64_t>() * 4 / 5 + (uint64_t{2} << 20));
  for (int i = 0; i < 3; ++i) {
    GenerationRequest large = request("the and", 2);
    large.num_ctx = 8192;
    ask(std::move(large));
  }
  EXPECT_LT(memory()["models"][0]["context_size"], 8192u);
  EXPECT_NE(log().find("where 8192 tokens were asked for"), std::string::npos) << log();
  EXPECT_EQ(log().find("unloading"), std::string::npos) << log();
}

class Connection {
 public:
  explicit Connection(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Connection() { close(); }
  Connection(Connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  Connection(const Connection&) = delete;

  /// The status of a request that leaves the connection open.
  int ask() const {
    const std::string_view request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return 0;
    // Replies come in pieces; all of these end with a brace.
    std::string reply;
    while (reply.find('}') == std::string::npos) {
      std::array<char, 4096> piece;
      const ssize_t got = ::recv(socket_, piece.data(), piece.size(), 0);
      if (got <= 0) break;
      reply.append(piece.data(), static_cast<size_t>(got));
    }
    return reply.size() > 12 ? std::atoi(reply.c_str() + 9) : 0;
  }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

 private:
  int socket_;
};

class Stacks : public MemoryStatus {
 protected:
  void start() {
    Router router;
    add_native_routes(router, (static_cast<void>(service()), state_));
    auto server =
        HttpServer::bind("127.0.0.1", 0, std::move(router), AccessRules(), HttpLimits(), ledger_, {});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->serve(); });
  }
  void TearDown() override {
    if (!server_) return;
    server_->stop();
    thread_.join();
  }
  [[nodiscard]] uint64_t held() const { return ledger_.usage().in(kHost, Pool::threads); }

  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

constexpr uint64_t kKept = HttpServer::kKeptStacks;

TEST_F(Stacks, EveryConnectionsStackIsInPlanAndLedger) {
  start();
  const uint64_t one = Stack::footprint(HttpServer::kStackBytes);
  EXPECT_EQ(held(), kKept * one);
  std::vector<Connection> connections;
  for (uint64_t i = 0; i < kKept + 4; ++i) {
    connections.emplace_back(server_->port());
    EXPECT_EQ(connections.back().ask(), 200);
    EXPECT_EQ(held(), std::max(i + 1, kKept) * one);
    EXPECT_EQ(ledger_.usage().unaccounted(kHost), 0u);
  }
  connections.clear();
  EXPECT_TRUE(wait_until([&] { return held() == kKept * one && ledger_.usage().unaccounted(kHost) == 0u; }));
  // Those that are kept serve again.
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Connection(server_->port()).ask(), 200);
  EXPECT_TRUE(wait_until([&] { return held() == kKept * one; }));
}

TEST_F(Stacks, AConnectionThatTheBudgetHasNoRoomForGets503AndTheOthersLive) {
  const uint64_t one = Stack::footprint(HttpServer::kStackBytes);
  ledger_.set_budget(kHost, (kKept + 2) * one + one / 2);
  start();
  std::vector<Connection> connections;
  for (uint64_t i = 0; i < kKept + 2; ++i) connections.emplace_back(server_->port());
  for (const Connection& connection : connections) EXPECT_EQ(connection.ask(), 200);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Connection(server_->port()).ask(), 503);
  EXPECT_EQ(server_->counters().refused_connections.load(), 3u);
  for (const Connection& connection : connections) EXPECT_EQ(connection.ask(), 200);
  connections.pop_back();
  EXPECT_TRUE(wait_until([&] { return Connection(server_->port()).ask() == 200; }));
  // With the budget full, those for which stacks were kept are answered still.
  connections.clear();
  ASSERT_TRUE(wait_until([&] { return held() == kKept * one; }));
  ledger_.set_budget(kHost, kKept * one);
  EXPECT_EQ(Connection(server_->port()).ask(), 200);
}

TEST_F(Stacks, AServerWhoseBudgetHasNoRoomForThemDoesNotStart) {
  ledger_.set_budget(kHost, 1 << 20);
  const auto server = HttpServer::bind("127.0.0.1", 0, Router(), AccessRules(), HttpLimits(), ledger_, {});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, ErrorCode::budget_exceeded);
  EXPECT_EQ(ledger_.usage().total(kHost), 0u);
}

TEST_F(Stacks, TheServersPlanIsWhatItsThreadsTake) {
  start();
  ASSERT_TRUE(service().watch_expiry());
  const auto watch = StackThread::start(ledger_, Stack::kSmall, "the watch", [] {});
  ASSERT_TRUE(watch);
  uint64_t planned = 0;
  for (const memory::PlanRow& row : plan_server()) {
    EXPECT_EQ(row.pool, Pool::threads);
    planned += row.bytes;
  }
  EXPECT_EQ(held(), planned);
  ask(request("the and", 1));
  EXPECT_EQ(held(), planned + ModelWorker::plan_rows().front().bytes);
}

/// Bytes of the stack that `body` has touched.
uint64_t touched_by(memory::Ledger& ledger, const std::function<void()>& body) {
  auto stack = Stack::take(ledger, HttpServer::kStackBytes, "a stack");
  EXPECT_TRUE(stack);
  auto thread = StackThread::start(*stack, body);
  EXPECT_TRUE(thread);
  const Stack after = thread->join();
  uint64_t bytes = 0;
  for (const memory::Region& region : ledger.regions()) {
    const bool own = region.bytes.size() == Stack::footprint(HttpServer::kStackBytes);
    if (region.pool == Pool::threads && own) bytes += memory::resident_bytes(region.bytes).value_or(0);
  }
  return bytes;
}

// What requests may nest as deep as limits allow is what fills stacks: documents, schemas, grammars, regular
// expressions, templates.
TEST_F(Stacks, TheDeepestRequestsFillLessThanHalfOfAConnectionsStack) {
  const auto repeat = [](std::string_view text, size_t times) {
    std::string out;
    while (times-- > 0) out += text;
    return out;
  };
  const auto nested = [&](std::string_view open, std::string_view inside, std::string_view close,
                          size_t levels) {
    return repeat(open, levels) + std::string(inside) + repeat(close, levels);
  };
  std::vector<std::pair<std::string, GenerationRequest>> requests;
  const auto add = [&](std::string what) -> GenerationRequest& {
    requests.emplace_back(std::move(what), request("the and", 1));
    return requests.back().second;
  };
  for (const size_t levels : {100, 126}) {
    OutputFormat& format = add(fmt::format("a schema of {} levels", levels)).format;
    format.kind = OutputFormat::Kind::schema;
    format.schema = Json::parse(nested(R"({"type":"array","items":)", R"({"type":"string"})", "}", levels));
  }
  for (const size_t levels : {60, 100, 128}) {
    OutputFormat& format = add(fmt::format("a grammar of {} levels", levels)).format;
    format.kind = OutputFormat::Kind::gbnf;
    format.grammar = "root ::= " + nested("(", "\"a\"", ")", levels);
    OutputFormat& pattern = add(fmt::format("a pattern of {} levels", levels)).format;
    pattern.kind = OutputFormat::Kind::schema;
    pattern.schema = {{"type", "string"}, {"pattern", "^" + nested("(", "a", ")?", levels / 2) + "$"}};
  }
  const std::pair<std::string_view, std::string> kTemplates[] = {
      {"macros", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"},
      {"macros in filters", "{% macro f(n) %}{{ (f(n + 1) | trim ~ 'a') | upper }}{% endmacro %}{{ f(0) }}"},
      {"macros in loops",
       "{% macro f(n) %}{% for i in [1] %}{% if true %}{{ f(n) }}{% endif %}{% endfor %}"
       "{% endmacro %}{{ f(0) }}"},
      {"loops that call themselves", "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}"},
      {"parentheses", "{{ " + nested("(", "1", ")", 400) + " }}"},
      {"lists", "{{ " + nested("[", "1", "]", 400) + " | tojson }}"},
      {"signs", "{{ " + repeat("-", 400) + "1 }}"},
      {"blocks", nested("{% if true %}", "a", "{% endif %}", 190)}};
  for (const auto& [what, source] : kTemplates) {
    GenerationRequest& asked = add("a template of " + std::string(what));
    asked.chat_template = source;
    text::ChatInput chat;
    chat.messages = Json::parse(R"([{"role": "user", "content": "x"}])");
    asked.prompt = chat;
  }
  ask(request("the and", 1));
  uint64_t most = 0;
  for (const auto& [what, asked] : requests) {
    const uint64_t touched = touched_by(ledger_, [&, with = asked] {
      auto generation = service().generate(with);
      if (generation) static_cast<void>((*generation)->next());
    });
    std::printf("%-40s %7lu bytes of stack\n", what.c_str(), static_cast<unsigned long>(touched));
    most = std::max(most, touched);
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(most, HttpServer::kStackBytes / 2);
#endif
}

int fill_stack(int levels) {
  std::array<volatile char, 4096> frame;
  for (volatile char& byte : frame) byte = static_cast<char>(levels);
  return levels == 0 ? frame[0] : fill_stack(levels - 1) + frame[static_cast<size_t>(levels) % frame.size()];
}

void overflow(memory::Ledger& ledger) {
  auto thread = StackThread::start(ledger, Stack::kSmall, "a stack", [] {
    if (fill_stack(1000) == 1) std::abort();
  });
  static_cast<void>(thread);
}

TEST_F(Stacks, AStackThatIsTooSmallEndsTheProcessAtItsGuard) {
  EXPECT_DEATH(overflow(ledger_), "");
}

}  // namespace
}  // namespace mullama::server
