#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "server/json_body.hpp"
#include "server/ollama_json.hpp"
#include "server/ollama_routes.hpp"
#include "server/routes.hpp"
#include "store/answering.hpp"

namespace mullama::server::ollama {

namespace {

/// What is told of a model in a list.
struct Listed {
  store::ModelSummary summary;
  std::vector<std::string> capabilities;
};

/// What models' files and texts say, read once for each version of a model.
class Listing {
 public:
  Result<Listed> of(const store::ModelEntry& entry) {
    const std::lock_guard lock(mutex_);
    Known& known = known_[entry.name];
    if (known.weights == entry.weights && known.modified == entry.modified && known.bytes == entry.bytes &&
        known.id == entry.id)
      return known.listed;
    MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(entry.weights));
    const store::StoredModel stored{entry.name, entry.weights, entry.manifest, entry.folder};
    // A list has room for models whose texts are damaged; who asks for one of them gets the error.
    const store::ModelTexts texts = store::read_texts(stored).value_or(store::ModelTexts());
    known = {entry.weights,
             entry.modified,
             entry.bytes,
             entry.id,
             {store::summarize(file), store::describe_answering(stored, texts, file).capabilities}};
    return known.listed;
  }

 private:
  struct Known {
    std::filesystem::path weights;
    std::filesystem::file_time_type modified;
    uint64_t bytes = UINT64_MAX;
    std::optional<store::Digest> id;
    Listed listed;
  };
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

Result<HttpReply> tags(Service& service, Listing& listing) {
  MULLAMA_ASSIGN(const auto entries, service.list());
  Json models = Json::array();
  for (const store::ModelEntry& entry : entries) {
    // A file that is broken is listed by its name and size: it is there.
    const Listed listed = listing.of(entry).value_or(Listed());
    models.push_back({{"name", entry.name},
                      {"model", entry.name},
                      {"modified_at", time_text(entry.modified)},
                      {"size", entry.bytes},
                      {"digest", entry.id ? entry.id->hex() : std::string()},
                      {"details", details(listed.summary)},
                      {"capabilities", listed.capabilities}});
  }
  return HttpReply::json({{"models", models}});
}

Result<HttpReply> ps(Service& service) {
  Json models = Json::array();
  for (const RunningModel& model : service.running()) {
    // A model that stays has a date that is far enough for every client's arithmetic.
    const auto forever = std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 100);
    models.push_back({{"name", model.name},
                      {"model", model.name},
                      {"size", model.total_bytes},
                      {"digest", model.digest},
                      {"details", details(model.summary)},
                      {"expires_at", time_text(model.expires_at.value_or(forever))},
                      {"size_vram", 0},
                      {"context_length", model.context_size},
                      {"parallel", model.parallel},
                      {"running", model.running},
                      {"waiting", model.waiting}});
  }
  return HttpReply::json({{"models", models}});
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : "\n") + text;
  return out;
}

Result<HttpReply> show(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string name, model_name(body));
  MULLAMA_ASSIGN(const ModelDescription shown, service.show(name));
  std::string parameters;
  for (const auto& [key, value] : shown.texts.parameters) {
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      for (const std::string& text : *list)
        parameters += fmt::format("{:<30} {}\n", key, store::quote_for_modelfile(text));
    } else {
      parameters += fmt::format("{:<30} {}\n", key, store::to_modelfile_text(value));
    }
  }
  if (!parameters.empty()) parameters.pop_back();
  Json messages = Json::array();
  for (const store::Message& message : shown.texts.messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  std::error_code failed;
  const auto modified = std::filesystem::last_write_time(shown.stored.weights, failed);
  Json reply = {{"license", joined(shown.texts.licenses)},
                {"modelfile", store::to_modelfile(shown.stored, shown.texts)},
                {"parameters", parameters},
                {"template", shown.chat_template},
                {"system", shown.texts.system.value_or("")},
                {"details", details(shown.summary)},
                {"messages", messages},
                {"model_info", shown.model_info},
                {"capabilities", shown.capabilities},
                {"modified_at", failed ? now_text() : time_text(modified)}};
  return HttpReply::json(reply);
}

HttpReply empty_reply() {
  HttpReply reply = HttpReply::text("");
  return reply;
}

/// A name of the store; requests cannot name files.
Result<std::string> store_name(const std::string& name) {
  if (store::is_path(name) || !store::ModelName::parse(name))
    return fail(ErrorCode::invalid_argument, "'{}' is not a model's name", name);
  return name;
}

Result<HttpReply> copy(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const auto source, text_member(body, "source"));
  MULLAMA_ASSIGN(const auto destination, text_member(body, "destination"));
  if (!source || source->empty()) return fail(ErrorCode::invalid_argument, "source is required");
  if (!destination || destination->empty())
    return fail(ErrorCode::invalid_argument, "destination is required");
  MULLAMA_ASSIGN(const std::string from, store_name(*source));
  MULLAMA_ASSIGN(const std::string to, store_name(*destination));
  const Status copied = service.store().copy(from, to);
  if (!copied && copied.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, "model \"{}\" not found", from);
  MULLAMA_TRY(copied);
  return empty_reply();
}

Result<HttpReply> remove(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string asked, model_name(body));
  MULLAMA_ASSIGN(const std::string name, store_name(asked));
  // Who answers with it goes on; what is mapped stays readable.
  static_cast<void>(service.unload(name));
  const Status removed = service.store().remove(name);
  if (!removed && removed.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, "model '{}' not found", asked);
  MULLAMA_TRY(removed);
  return empty_reply();
}

}  // namespace

void add_model_routes(Router& router, Service& service) {
  const auto listing = std::make_shared<Listing>();
  router.add("GET", "/", [](HttpRequest&) { return HttpReply::text("Ollama is running"); });
  router.add("GET", "/api/version", [](HttpRequest&) {
    return HttpReply::json({{"version", MULLAMA_VERSION}});
  });
  router.add("GET", "/api/tags", [&service, listing](HttpRequest&) { return tags(service, *listing); });
  router.add("GET", "/api/ps", [&](HttpRequest&) { return ps(service); });
  router.add("POST", "/api/show", [&](HttpRequest& http) { return show(service, http); });
  router.add("POST", "/api/copy", [&](HttpRequest& http) { return copy(service, http); });
  router.add("DELETE", "/api/delete", [&](HttpRequest& http) { return remove(service, http); });
  for (const char* path : {"/api/push", "/api/me", "/api/signout", "/api/experimental/{rest...}"}) {
    router.add("POST", path, [](HttpRequest&) {
      return HttpReply::failure(501, ErrorCode::unsupported, "this server has no account with a registry");
    });
  }
}

}  // namespace mullama::server::ollama

namespace mullama::server {

void add_ollama_routes(Router& router, Service& service) {
  ollama::add_model_routes(router, service);
  ollama::add_answer_routes(router, service);
  ollama::add_store_routes(router, service);
}

}  // namespace mullama::server
