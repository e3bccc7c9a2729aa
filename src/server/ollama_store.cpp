#include <atomic>
#include <filesystem>
#include <memory>
#include <unistd.h>

#include "server/json_body.hpp"
#include "server/ollama_json.hpp"
#include "server/ollama_routes.hpp"
#include "store/disk.hpp"
#include "store/pull.hpp"

namespace mullama::server::ollama {

namespace {

std::string line(const Json& document) {
  return to_text(document) + "\n";
}

Json progress_line(const store::Progress& progress) {
  Json out = {{"status", progress.status}};
  if (progress.digest) out["digest"] = progress.digest->text();
  if (progress.total > 0) {
    out["total"] = progress.total;
    out["completed"] = progress.completed;
  }
  return out;
}

/// Long work on the store, told as lines or, without a stream, at its end.
Result<HttpReply> tell(Service& service, bool stream, const HttpRequest& http,
                       std::function<Status(const store::PullOptions&)> write) {
  store::PullOptions options;
  options.canceled = http.client_gone;
  auto work = [&service, write = std::move(write)](const store::PullOptions& told) -> Status {
    MULLAMA_ASSIGN(const memory::Reservation buffer, service.reserve_file_buffer());
    return write(told);
  };
  if (!stream) {
    MULLAMA_TRY(work(options));
    return HttpReply::json({{"status", "success"}});
  }
  return HttpReply::streaming("application/x-ndjson", [&service, options,
                                                       work = std::move(work)](StreamWriter& writer) {
    store::PullOptions told = options;
    bool gone = false;
    told.canceled = [&] { return gone || options.canceled(); };
    told.progress = [&](const store::Progress& progress) {
      if (!writer.write(line(progress_line(progress)))) gone = true;
    };
    const Status done = work(told);
    if (gone) return;
    const Json last = done ? Json{{"status", "success"}}
                           : error_document({done.error().code, service.for_clients(done.error().message)});
    static_cast<void>(writer.write(line(last)));
  });
}

Result<HttpReply> pull(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string name, model_name(body));
  MULLAMA_ASSIGN(const bool stream, wants_stream(body));
  // A request must not make the server read its own files, nor drive it to hosts inside of its network.
  if (store::is_path(name) || name.find("://") != std::string::npos || !store::ModelName::parse(name)) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a model's name; only `mullama pull` fetches from files and addresses", name);
  }
  return tell(service, stream, http, [&service, name](const store::PullOptions& options) -> Status {
    MULLAMA_ASSIGN(const auto model, store::pull(service.store(), name, options));
    return {};
  });
}

/// A blob that was sent before, by the digest that a request names it with.
Result<std::filesystem::path> blob_of(Service& service, const Json& digest) {
  if (!digest.is_string()) return fail(ErrorCode::invalid_argument, "a file's digest must be a string");
  MULLAMA_ASSIGN(const store::Digest parsed, store::Digest::parse(digest.get<std::string>()));
  std::filesystem::path path = service.store().blob_path(parsed);
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path, failed))
    return fail(ErrorCode::invalid_argument, "there is no blob {}; send it first", parsed.text());
  return path;
}

Status read_files(Service& service, const Json& body, store::Modelfile& modelfile) {
  for (const char* member : {"files", "adapters"}) {
    const auto found = body.find(member);
    if (found == body.end() || found->is_null()) continue;
    if (!found->is_object())
      return fail(ErrorCode::invalid_argument, "{} must be an object of names and digests", member);
    for (const auto& [name, digest] : found->items()) {
      MULLAMA_ASSIGN(const auto path, blob_of(service, digest));
      if (std::string_view(member) == "adapters") {
        modelfile.adapters.push_back(path.string());
      } else if (modelfile.from.empty()) {
        modelfile.from = path.string();
      } else {
        return fail(ErrorCode::unsupported, "a model is made from one file; '{}' is one too many", name);
      }
    }
  }
  return {};
}

Status read_parameters(const Json& body, store::Modelfile& modelfile) {
  const auto found = body.find("parameters");
  if (found == body.end() || found->is_null()) return {};
  if (!found->is_object()) return fail(ErrorCode::invalid_argument, "parameters must be an object");
  for (const auto& [name, value] : found->items()) {
    const Json values = value.is_array() ? value : Json::array({value});
    for (const Json& entry : values) {
      if (entry.is_object() || entry.is_array() || entry.is_null())
        return fail(ErrorCode::invalid_argument, "the parameter '{}' has no simple value", name);
      const std::string text = entry.is_string() ? entry.get<std::string>() : entry.dump();
      MULLAMA_TRY(store::add_parameter(modelfile.parameters, name, text));
    }
  }
  return {};
}

Status read_model_texts(const Json& body, store::Modelfile& modelfile) {
  MULLAMA_ASSIGN(modelfile.chat_template, text_member(body, "template"));
  MULLAMA_ASSIGN(modelfile.system, text_member(body, "system"));
  const auto license = body.find("license");
  if (license != body.end() && !license->is_null()) {
    const Json list = license->is_array() ? *license : Json::array({*license});
    for (const Json& text : list) {
      if (!text.is_string())
        return fail(ErrorCode::invalid_argument, "license must be a string or an array of them");
      modelfile.licenses.push_back(text.get<std::string>());
    }
  }
  MULLAMA_ASSIGN(const Json* messages, array_member(body, "messages"));
  if (messages == nullptr) return {};
  for (const Json& message : *messages) {
    if (!message.is_object()) return fail(ErrorCode::invalid_argument, "each message must be an object");
    MULLAMA_ASSIGN(const auto role, text_member(message, "role"));
    MULLAMA_ASSIGN(const auto content, text_member(message, "content"));
    if (role != "system" && role != "user" && role != "assistant")
      return fail(ErrorCode::invalid_argument, "a message's role must be system, user or assistant");
    modelfile.messages.push_back({*role, content.value_or("")});
  }
  return {};
}

Result<HttpReply> create(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string name, model_name(body));
  MULLAMA_ASSIGN(const bool stream, wants_stream(body));
  if (store::is_path(name) || !store::ModelName::parse(name))
    return fail(ErrorCode::invalid_argument, "'{}' is not a model's name", name);
  for (const char* member : {"quantize", "quantization"}) {
    MULLAMA_ASSIGN(const auto type, text_member(body, member));
    if (type && !type->empty())
      return fail(ErrorCode::unsupported, "a request cannot quantize; use `mullama quantize`");
  }
  store::Modelfile modelfile;
  MULLAMA_ASSIGN(const auto from, text_member(body, "from"));
  if (from && !from->empty()) {
    if (store::is_path(*from) || !store::ModelName::parse(*from))
      return fail(ErrorCode::invalid_argument, "from must be a model's name; files are sent as blobs");
    MULLAMA_ASSIGN(const auto shown, service.show(*from));
    modelfile.from = *from;
  }
  MULLAMA_TRY(read_files(service, body, modelfile));
  if (modelfile.from.empty())
    return fail(ErrorCode::invalid_argument, "neither 'from' or 'files' was specified");
  MULLAMA_TRY(read_parameters(body, modelfile));
  MULLAMA_TRY(read_model_texts(body, modelfile));
  return tell(
      service, stream, http, [&service, name, modelfile](const store::PullOptions& options) -> Status {
        MULLAMA_ASSIGN(const auto model,
                       store::create(service.store(), name, modelfile, service.store().root(), options));
        return {};
      });
}

Result<HttpReply> has_blob(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const store::Digest digest, store::Digest::parse(http.path_parameter("digest")));
  std::error_code failed;
  if (std::filesystem::is_regular_file(service.store().blob_path(digest), failed)) return HttpReply::text("");
  return HttpReply::failure(404, ErrorCode::not_found, "there is no such blob");
}

/// Receives a file under its digest; it is there only if the bytes have that digest.
Result<HttpReply> send_blob(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const store::Digest digest, store::Digest::parse(http.path_parameter("digest")));
  const std::filesystem::path target = service.store().blob_path(digest);
  std::error_code failed;
  if (std::filesystem::is_regular_file(target, failed)) {
    MULLAMA_TRY(http.read_body([](std::string_view) { return Status(); }));
    return HttpReply::text("");
  }
  MULLAMA_ASSIGN(const memory::Reservation buffer, service.reserve_file_buffer());
  MULLAMA_TRY(store::make_folder(service.store().staging_path()));
  MULLAMA_TRY(store::make_folder(target.parent_path()));
  static std::atomic<uint64_t> number{0};
  const std::string file = fmt::format("upload-{}-{}", ::getpid(), number.fetch_add(1));
  MULLAMA_ASSIGN(store::StagedFile staged, store::StagedFile::open(service.store().staging_path() / file));
  MULLAMA_TRY(staged.truncate());
  store::Sha256 hash;
  uint64_t unchecked = 0;
  Status received = http.read_body([&](std::string_view bytes) -> Status {
    // Space is looked at now and then: nobody says how long a chunked body gets.
    if (unchecked == 0)
      MULLAMA_TRY(store::check_space(service.store().root(), bytes.size() + (uint64_t{64} << 20)));
    unchecked = unchecked + bytes.size() > (uint64_t{32} << 20) ? 0 : unchecked + bytes.size();
    hash.update(bytes);
    return staged.append(std::as_bytes(std::span(bytes)));
  });
  if (received && hash.finish() != digest)
    received =
        fail(ErrorCode::invalid_argument, "digest mismatch: the bytes that came are not {}", digest.text());
  if (received) received = staged.commit(target);
  if (!received) {
    staged.discard();
    return tl::unexpected<Error>(received.error());
  }
  return HttpReply::text("", 201);
}

}  // namespace

void add_store_routes(Router& router, Service& service) {
  router.add("POST", "/api/pull", [&](HttpRequest& http) { return pull(service, http); });
  router.add("POST", "/api/create", [&](HttpRequest& http) { return create(service, http); });
  router.add("HEAD", "/api/blobs/{digest}", [&](HttpRequest& http) { return has_blob(service, http); });
  router.add(
      "POST", "/api/blobs/{digest}", [&](HttpRequest& http) { return send_blob(service, http); },
      BodyMode::stream);
}

}  // namespace mullama::server::ollama
