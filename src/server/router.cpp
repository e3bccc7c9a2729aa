#include <algorithm>
#include <array>
#include <strings.h>

#include "server/http.hpp"

namespace mullama::server {

namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

bool is_name(std::string_view part) {
  return part.size() > 2 && part.front() == '{' && part.back() == '}';
}

}  // namespace

bool IgnoreCase::operator()(std::string_view a, std::string_view b) const {
  const int order = ::strncasecmp(a.data(), b.data(), std::min(a.size(), b.size()));
  return order != 0 ? order < 0 : a.size() < b.size();
}

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

std::string_view HttpRequest::path_parameter(std::string_view name) const {
  const auto found = path_parameters.find(name);
  return found == path_parameters.end() ? std::string_view() : found->second;
}

std::string to_text(const nlohmann::ordered_json& document) {
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json error_document(const Error& error) {
  return {{"error", error.message}, {"code", error_name(error.code)}};
}

HttpReply HttpReply::json(const nlohmann::ordered_json& document, int status) {
  HttpReply reply;
  reply.status = status;
  reply.body = to_text(document);
  return reply;
}

HttpReply HttpReply::text(std::string text, int status) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = std::move(text);
  return reply;
}

HttpReply HttpReply::failure(int status, ErrorCode code, std::string message) {
  HttpReply reply;
  reply.error = HttpError{status, code, std::move(message), {}};
  return reply;
}

HttpReply HttpReply::streaming(std::string content_type, std::function<void(StreamWriter&)> write) {
  HttpReply reply;
  reply.content_type = std::move(content_type);
  reply.stream = std::move(write);
  return reply;
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::unsupported:
    case ErrorCode::context_full:
      return 400;
    case ErrorCode::permission:
      return 403;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::canceled:
      return 499;
    case ErrorCode::download:
      return 502;
    case ErrorCode::unavailable:
      return 503;
    case ErrorCode::timeout:
      return 504;
    case ErrorCode::corrupt_file:
    case ErrorCode::io:
    case ErrorCode::budget_exceeded:
    case ErrorCode::out_of_memory:
    case ErrorCode::gpu_out_of_memory:
    case ErrorCode::internal:
      break;
  }
  return 500;
}

void Router::add(std::string_view method, std::string_view pattern, Handler handler, BodyMode body) {
  Route route{std::string(method), {}, std::move(handler), body};
  for (const std::string_view part : split(pattern)) route.parts.emplace_back(part);
  routes_.push_back(std::move(route));
}

void Router::set_error_renderer(std::string prefix, ErrorRenderer renderer) {
  renderers_.emplace_back(std::move(prefix), std::move(renderer));
}

bool Router::matches(const Route& route, const std::vector<std::string_view>& parts,
                     std::map<std::string, std::string, std::less<>>& parameters) {
  for (size_t i = 0; i < route.parts.size(); ++i) {
    const std::string_view pattern = route.parts[i];
    if (i >= parts.size()) return false;
    if (is_name(pattern) && pattern.ends_with("...}")) {
      const auto rest = static_cast<size_t>(parts.back().data() + parts.back().size() - parts[i].data());
      if (rest == 0) return false;
      parameters.emplace(pattern.substr(1, pattern.size() - 5), std::string(parts[i].data(), rest));
      return true;
    }
    if (is_name(pattern)) {
      if (parts[i].empty()) return false;
      parameters.emplace(pattern.substr(1, pattern.size() - 2), parts[i]);
    } else if (pattern != parts[i]) {
      return false;
    }
  }
  return parts.size() == route.parts.size();
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const std::vector<std::string_view> parts = split(path);
  const Route* as_get = nullptr;
  for (const Route& route : routes_) {
    std::map<std::string, std::string, std::less<>> parameters;
    if (!matches(route, parts, parameters)) continue;
    if (route.method == method) {
      match.handler = &route.handler;
      match.body = route.body;
      match.parameters = std::move(parameters);
      return match;
    }
    if (method == "HEAD" && route.method == "GET" && as_get == nullptr) {
      as_get = &route;
      match.parameters = std::move(parameters);
    }
    match.other_methods += (match.other_methods.empty() ? "" : ", ") + route.method;
  }
  if (as_get != nullptr) match.handler = &as_get->handler;
  return match;
}

HttpReply Router::render(HttpError error, std::string_view path) const {
  if (filter_) error.message = filter_(std::move(error.message));
  const std::pair<std::string, ErrorRenderer>* best = nullptr;
  for (const auto& entry : renderers_) {
    if (path.starts_with(entry.first) && (best == nullptr || entry.first.size() > best->first.size()))
      best = &entry;
  }
  if (best == nullptr)
    return HttpReply::json(error_document({error.code, std::move(error.message)}), error.status);
  return best->second(error);
}

}  // namespace mullama::server
