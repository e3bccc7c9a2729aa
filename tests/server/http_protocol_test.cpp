#include "server/http_protocol.hpp"

#include <gtest/gtest.h>

namespace mullama::server {
namespace {

/// A connection whose other side has sent everything already.
class Recorded final : public ByteStream {
 public:
  explicit Recorded(std::string input) : input_(std::move(input)) {}
  ptrdiff_t read(char* into, size_t size) override {
    const size_t count = std::min(size, input_.size() - at_);
    input_.copy(into, count, at_);
    at_ += count;
    return static_cast<ptrdiff_t>(count);
  }
  bool write(std::string_view bytes) override {
    output += bytes;
    return output.size() < break_after;
  }
  bool gone() override { return output.size() >= break_after; }
  [[nodiscard]] size_t left() const { return input_.size() - at_; }

  std::string output;
  size_t break_after = SIZE_MAX;

 private:
  std::string input_;
  size_t at_ = 0;
};

class Protocol : public ::testing::Test {
 protected:
  Protocol() {
    router_.add("POST", "/echo",
                [](HttpRequest& request) -> Result<HttpReply> { return HttpReply::text(request.body); });
    router_.add("POST", "/throw",
                [](HttpRequest&) -> Result<HttpReply> { throw std::runtime_error("oops"); });
    router_.add("GET", "/stream", [this](HttpRequest&) -> Result<HttpReply> {
      return HttpReply::streaming("text/plain", [this](StreamWriter& writer) {
        for (int i = 0; i < 1000 && writer.write("0123456789"); ++i) ++written_;
      });
    });
    limits_.body_bytes = 1000;
    limits_.header_bytes = 4000;
  }

  std::string answer(Recorded& stream) {
    HttpProtocol protocol(router_, access_, limits_, counters_, ledger_, {});
    open_ = protocol.answer(stream, "127.0.0.1", false);
    return stream.output;
  }
  std::string answer(const std::string& text) {
    Recorded stream(text);
    return answer(stream);
  }
  static int status(const std::string& reply) {
    return reply.size() > 12 ? std::stoi(reply.substr(9, 3)) : 0;
  }

  Router router_;
  AccessRules access_;
  HttpLimits limits_;
  HttpCounters counters_;
  memory::Ledger ledger_;
  bool open_ = false;
  int written_ = 0;
};

TEST_F(Protocol, EchoesAndKeepsTheConnection) {
  const std::string reply = answer("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(status(reply), 200);
  EXPECT_TRUE(reply.ends_with("\r\n\r\nabc"));
  EXPECT_TRUE(open_);
}

TEST_F(Protocol, ReadsChunkedBodiesOfAnyContentType) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";
  for (const char* type :
       {"multipart/form-data", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""}) {
    const std::string reply =
        answer(head + "Content-Type: " + type + "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    EXPECT_EQ(status(reply), 200) << type;
    EXPECT_TRUE(reply.ends_with("abcde")) << reply;
  }
}

TEST_F(Protocol, RefusesWhatIsTooLarge) {
  EXPECT_EQ(status(answer("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n" +
                          std::string(1001, 'x'))),
            413);
  EXPECT_FALSE(open_);
  EXPECT_EQ(
      status(answer("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n500\r\n" +
                    std::string(0x500, 'x') + "\r\n0\r\n\r\n")),
      413);
  std::string many = "GET /stream HTTP/1.1\r\n";
  for (int i = 0; i < 500; ++i) many += "X-Filler: 0123456789\r\n";
  EXPECT_EQ(status(answer(many + "\r\n")), 431);
}

TEST_F(Protocol, RefusesContradictions) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
  EXPECT_EQ(status(answer(head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc")), 400);
  EXPECT_EQ(status(answer(head + "Content-Length: 3\r\nContent-Length: 2\r\n\r\nabc")), 400);
  EXPECT_EQ(status(answer(head + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")), 415);
  EXPECT_EQ(status(answer(head + "Content-Length: 9\r\n\r\nabc")), 400);
  EXPECT_FALSE(open_);
}

TEST_F(Protocol, AFaultOfAHandlerIsAnError) {
  EXPECT_EQ(status(answer("POST /throw HTTP/1.1\r\nHost: localhost\r\n\r\n")), 500);
  EXPECT_EQ(counters_.server_errors.load(), 1u);
}

TEST_F(Protocol, AStreamEndsWhenItsReaderHasGone) {
  Recorded stream("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  stream.break_after = 1000;
  static_cast<void>(answer(stream));
  EXPECT_GT(written_, 10);
  EXPECT_LT(written_, 100);
  EXPECT_FALSE(open_);
}

TEST_F(Protocol, TheWholeStreamComesToAReaderThatStays) {
  const std::string reply = answer("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(written_, 1000);
  EXPECT_TRUE(reply.ends_with("0\r\n\r\n"));
  EXPECT_TRUE(open_);
}

TEST_F(Protocol, RangesAndOldVersionsDoNotChangeAReply) {
  const std::string ranged =
      answer("GET /stream HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_EQ(status(ranged), 200);
  EXPECT_EQ(ranged.find("Content-Encoding"), std::string::npos);
  const std::string old = answer("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_EQ(status(old), 200);
  EXPECT_EQ(old.find("chunked"), std::string::npos);
  EXPECT_FALSE(open_);
}

}  // namespace
}  // namespace mullama::server
