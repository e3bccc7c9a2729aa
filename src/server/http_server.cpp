#include "server/http_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "base/without_exceptions.hpp"

namespace mullama::server {

namespace {

using Clock = ByteStream::Clock;

/// Milliseconds until then, as poll() wants them.
int milliseconds_until(Clock::time_point then) {
  if (then == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(then - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

class SocketStream final : public ByteStream {
 public:
  SocketStream(int socket, std::chrono::milliseconds write_time) : socket_(socket), write_time_(write_time) {}

  ptrdiff_t read(char* into, size_t size) override {
    if (begin_ == end_) {
      const ptrdiff_t got = fill();
      if (got <= 0) return got;
    }
    const size_t count = std::min(size, end_ - begin_);
    std::memcpy(into, buffer_.data() + begin_, count);
    begin_ += count;
    return static_cast<ptrdiff_t>(count);
  }

  bool write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
      if (!wait(POLLOUT, Clock::now() + write_time_)) return false;
    }
    return true;
  }

  bool gone() override {
    pollfd entry{socket_, POLLRDHUP, 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  /// Whether a request begins before the deadline.
  [[nodiscard]] bool wait_for_request(Clock::time_point deadline) {
    return begin_ < end_ || wait(POLLIN, deadline);
  }

 private:
  bool wait(short events, Clock::time_point deadline) const {
    while (true) {
      pollfd entry{socket_, events, 0};
      const int ready = ::poll(&entry, 1, milliseconds_until(deadline));
      if (ready > 0) return true;
      if (ready == 0 || errno != EINTR) return false;
    }
  }

  ptrdiff_t fill() {
    while (true) {
      if (!wait(POLLIN, deadline())) return -1;
      const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got >= 0) {
        begin_ = 0;
        end_ = static_cast<size_t>(got);
        return got;
      }
      if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    }
  }

  int socket_;
  std::chrono::milliseconds write_time_;
  std::array<char, 16384> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text.data(),
                text.size());
  }
  return text.data();
}

uint16_t bound_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
}

Result<int> listen_on(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), fmt::format("{}", port).c_str(), &hints, &found);
  if (failed != 0)
    return fail(ErrorCode::invalid_argument, "cannot listen on {}: {}", host, ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  std::string reason = "no address";
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol);
    if (socket < 0) continue;
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (::bind(socket, entry->ai_addr, entry->ai_addrlen) == 0 && ::listen(socket, 128) == 0) return socket;
    reason = std::strerror(errno);
    ::close(socket);
  }
  return fail(ErrorCode::unavailable, "cannot listen on {}:{}: {}", host, port, reason);
}

}  // namespace

HttpServer::HttpServer(Router router, AccessRules access, const HttpLimits& limits, memory::Ledger ledger,
                       std::function<void(const HttpLogEntry&)> log)
    : router_(std::move(router)),
      access_(std::move(access)),
      limits_(limits),
      protocol_(router_, access_, limits_, counters_, ledger, std::move(log)),
      ledger_(std::move(ledger)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::bind(const std::string& host, uint16_t port, Router router,
                                                     AccessRules access, const HttpLimits& limits,
                                                     memory::Ledger ledger,
                                                     std::function<void(const HttpLogEntry&)> log) {
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(router), std::move(access), limits, std::move(ledger), std::move(log)));
  server->stacks_.reserve(kKeptStacks);
  while (server->stacks_.size() < std::min<size_t>(kKeptStacks, limits.connections)) {
    MULLAMA_ASSIGN(Stack stack, Stack::take(server->ledger_, kStackBytes, "the stacks of connections"));
    server->stacks_.push_back(std::move(stack));
  }
  MULLAMA_ASSIGN(server->listener_, listen_on(host, port));
  server->port_ = bound_port(server->listener_);
  server->wakeup_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (server->wakeup_ < 0) return fail(ErrorCode::io, "cannot make an event: {}", std::strerror(errno));
  return server;
}

HttpServer::~HttpServer() {
  stop();
  {
    std::unique_lock lock(mutex_);
    empty_.wait(lock, [&] { return open_ == 0; });
  }
  reap_connections();
  if (listener_ >= 0) ::close(listener_);
  if (wakeup_ >= 0) ::close(wakeup_);
}

void HttpServer::wake() const {
  const uint64_t one = 1;
  // Full is as good as written: the reader wakes either way.
  if (wakeup_ >= 0) [[maybe_unused]]
    const ssize_t written = ::write(wakeup_, &one, sizeof(one));
}

void HttpServer::drain() {
  draining_.store(true);
  wake();
}

void HttpServer::stop() {
  drain();
  const std::lock_guard lock(mutex_);
  for (const Connection& connection : connections_) {
    if (connection.socket >= 0) ::shutdown(connection.socket, SHUT_RDWR);
  }
}

void HttpServer::serve() {
  while (!draining_.load()) {
    std::array<pollfd, 2> entries{pollfd{listener_, POLLIN, 0}, pollfd{wakeup_, POLLIN, 0}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) break;
    if (draining_.load()) break;
    uint64_t wakes = 0;
    if ((entries[1].revents & POLLIN) != 0) [[maybe_unused]]
      const ssize_t got = ::read(wakeup_, &wakes, sizeof(wakes));
    reap_connections();
    if ((entries[0].revents & POLLIN) == 0) continue;
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    const int connection =
        ::accept4(listener_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
      // Out of descriptors: those in use have to be given back first.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      continue;
    }
    open_connection(connection, address);
  }
  // Nobody is to wait in the queue of a socket that is not served.
  ::close(std::exchange(listener_, -1));
  std::unique_lock lock(mutex_);
  empty_.wait(lock, [&] { return open_ == 0; });
}

/// One of those that are kept, or one that the budget has room for.
Result<Stack> HttpServer::take_stack() {
  if (stacks_.empty()) return Stack::take(ledger_, kStackBytes, "the stack of a connection");
  Stack stack = std::move(stacks_.back());
  stacks_.pop_back();
  return stack;
}

/// Gives a connection its thread; where there are too many already, or there is no memory or no thread for
/// it, it is refused.
void HttpServer::open_connection(int socket, const sockaddr_storage& address) {
  const Status started =
      without_exceptions("a connection", [&] { return start_connection(socket, address); });
  if (started) return;
  ++counters_.refused_connections;
  const std::string_view refusal = too_many_connections();
  static_cast<void>(::send(socket, refusal.data(), refusal.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  ::close(socket);
}

/// On an error the socket is still the caller's.
Status HttpServer::start_connection(int socket, const sockaddr_storage& address) {
  const std::string remote = address_text(address);
  std::list<Connection> made(1);
  Connection& connection = made.front();
  {
    const std::lock_guard lock(mutex_);
    if (open_ >= limits_.connections) return fail(ErrorCode::unavailable, "too many connections");
    connection.socket = socket;
    connections_.splice(connections_.end(), made);
    counters_.open_connections.store(++open_);
  }
  const Status started = without_exceptions("a connection", [&]() -> Status {
    MULLAMA_ASSIGN(Stack stack, take_stack());
    auto thread = StackThread::start(stack, [this, &connection, remote] {
      serve_connection(connection.socket, remote);
      end_connection(connection);
    });
    if (!thread) {
      keep(std::move(stack));
      return tl::unexpected<Error>(std::move(thread).error());
    }
    connection.thread.emplace(std::move(*thread));
    return {};
  });
  if (started) return started;
  const std::lock_guard lock(mutex_);
  connections_.pop_back();
  counters_.open_connections.store(--open_);
  return started;
}

/// Closes a connection and has its thread joined.
void HttpServer::end_connection(Connection& connection) {
  {
    const std::lock_guard lock(mutex_);
    ::close(std::exchange(connection.socket, -1));
    counters_.open_connections.store(--open_);
    if (open_ == 0) empty_.notify_all();
  }
  wake();
}

/// Joins the threads of connections that have ended, and keeps some of their stacks. For whoever accepts.
void HttpServer::reap_connections() {
  std::list<Connection> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      const auto next = std::next(it);
      if (it->socket < 0) ended.splice(ended.end(), connections_, it);
      it = next;
    }
  }
  for (Connection& connection : ended) {
    keep(connection.thread->join());
    connection.thread.reset();
  }
}

void HttpServer::keep(Stack stack) {
  if (stacks_.size() < kKeptStacks) stacks_.push_back(std::move(stack));
}

void HttpServer::serve_connection(int connection, const std::string& remote) {
  const int on = 1;
  ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  {
    SocketStream stream(connection, limits_.write_time);
    bool open = true;
    while (open && !draining_.load()) {
      // Short waits, so that an idle connection sees a drain.
      const auto deadline = Clock::now() + limits_.idle_time;
      bool begun = false;
      while (!begun && !draining_.load() && Clock::now() < deadline) {
        begun = stream.wait_for_request(std::min(deadline, Clock::now() + std::chrono::milliseconds(200)));
      }
      if (!begun) break;
      open = protocol_.answer(stream, remote, draining_.load());
    }
    // A reply that was sent must not be lost because some of the request was left unread.
    ::shutdown(connection, SHUT_WR);
    std::array<char, 4096> rest;
    const auto linger = Clock::now() + std::chrono::milliseconds(500);
    size_t dropped = 0;
    while (Clock::now() < linger && dropped < (size_t{1} << 20)) {
      pollfd entry{connection, POLLIN, 0};
      if (::poll(&entry, 1, milliseconds_until(linger)) <= 0) break;
      const ssize_t got = ::recv(connection, rest.data(), rest.size(), MSG_DONTWAIT);
      if (got <= 0) break;
      dropped += static_cast<size_t>(got);
    }
  }
}

}  // namespace mullama::server
