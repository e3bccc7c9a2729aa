#pragma once

#include <httplib.h>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "store/manifest.hpp"

namespace mullama::store {

/// A model registry on a loopback port, in the protocol that pull speaks.
class Registry {
 public:
  Registry() {
    server_.set_tcp_nodelay(true);
    server_.Get(
        R"(/v2/(.+)/manifests/(.+))", [this](const httplib::Request& request, httplib::Response& response) {
          note(request);
          const auto found = manifests.find(request.matches[1].str() + ":" + request.matches[2].str());
          if (found == manifests.end()) {
            response.status = 404;
          } else {
            response.set_content(found->second, "application/json");
          }
        });
    server_.Get(R"(/v2/(.+)/blobs/(.+))",
                [this](const httplib::Request& request, httplib::Response& response) {
                  note(request);
                  const auto found = blobs.find(request.matches[2]);
                  if (found == blobs.end()) {
                    response.status = 404;
                  } else {
                    response.set_content(found->second, "application/octet-stream");
                  }
                });
    server_.Get(R"(/files/(.+))", [this](const httplib::Request& request, httplib::Response& response) {
      note(request);
      const auto found = files.find(request.matches[1]);
      if (found == files.end()) {
        response.status = 404;
      } else {
        response.set_header("ETag", etag);
        response.set_content(found->second, "application/octet-stream");
      }
    });
    server_.Get(R"(/api/models/(.+)/tree/(.+))", [this](const httplib::Request& request,
                                                        httplib::Response& response) {
      note(request);
      const auto found = hub_lists.find(request.matches[1].str() + "@" + request.matches[2].str());
      if (found == hub_lists.end()) {
        response.status = 401;  // as the hub says of what it does not have
      } else {
        response.set_content(found->second, "application/json");
      }
    });
    server_.Get(R"(/(.+)/resolve/(.+))",
                [this](const httplib::Request& request, httplib::Response& response) {
                  note(request);
                  response.set_redirect(redirect_target + "/files/" + request.matches[2].str());
                });
    server_.Get("/redirect", [this](const httplib::Request& request, httplib::Response& response) {
      note(request);
      response.set_redirect(redirect_target);
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Registry() {
    server_.stop();
    thread_.join();
  }

  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string address() const { return "http://" + host(); }

  /// Adds a blob and returns its layer.
  Layer add(LayerKind kind, const std::string& content) {
    Layer layer{kind, std::string(media_type(kind)), sha256(content), content.size()};
    blobs[layer.digest.text()] = content;
    return layer;
  }

  std::map<std::string, std::string> manifests;  // "library/tiny:latest" to JSON
  std::map<std::string, std::string> blobs;
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> hub_lists;  // "organization/repository@main" to JSON
  std::string redirect_target;
  std::string etag = "\"one\"";

  struct Seen {
    std::string path;
    std::string authorization;
    std::string range;
  };
  [[nodiscard]] std::vector<Seen> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void note(const httplib::Request& request) {
    const std::lock_guard lock(mutex_);
    seen_.push_back(
        {request.path, request.get_header_value("Authorization"), request.get_header_value("Range")});
  }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::vector<Seen> seen_;
};

}  // namespace mullama::store
