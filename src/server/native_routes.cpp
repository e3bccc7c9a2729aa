#include "server/native_routes.hpp"

#include <algorithm>

#include "server/json_body.hpp"
#include "server/ollama_json.hpp"
#include "server/receipts.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

/// The model that a request names, or the one that is served.
Result<std::string> model_of(Service& service, const Json& body) {
  MULLAMA_ASSIGN(auto model, text_member(body, "model"));
  if (model && !model->empty()) return *model;
  std::string only = service.default_model();
  if (only.empty())
    return fail(ErrorCode::invalid_argument, "model is required: several are loaded, or none");
  return only;
}

Result<HttpReply> tokenize(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string model, model_of(service, body));
  MULLAMA_ASSIGN(const auto content, text_member(body, "content"));
  MULLAMA_ASSIGN(const auto add_special, flag_member(body, "add_special"));
  MULLAMA_ASSIGN(const auto parse_special, flag_member(body, "parse_special"));
  MULLAMA_ASSIGN(const auto with_pieces, flag_member(body, "with_pieces"));
  MULLAMA_ASSIGN(const auto tokens, service.tokenize(model, content.value_or(""), add_special.value_or(false),
                                                     parse_special.value_or(true)));
  if (!with_pieces.value_or(false)) return HttpReply::json({{"tokens", tokens}});
  Json pieces = Json::array();
  for (const text::TokenId token : tokens) {
    MULLAMA_ASSIGN(const std::string piece, service.token_piece(model, token));
    pieces.push_back({{"id", token}, {"piece", piece}});
  }
  return HttpReply::json({{"tokens", pieces}});
}

Result<HttpReply> detokenize(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string model, model_of(service, body));
  MULLAMA_ASSIGN(const Json* list, array_member(body, "tokens"));
  MULLAMA_ASSIGN(const auto tokens, token_ids(list == nullptr ? Json::array() : *list, "tokens"));
  MULLAMA_ASSIGN(const std::string text, service.detokenize(model, tokens));
  return HttpReply::json({{"content", text}});
}

Result<text::ChatInput> chat_of(const Json& body) {
  text::ChatInput chat;
  MULLAMA_ASSIGN(const Json* messages, array_member(body, "messages"));
  MULLAMA_ASSIGN(const Json* tools, array_member(body, "tools"));
  if (messages != nullptr) chat.messages = *messages;
  if (tools != nullptr) chat.tools = *tools;
  return chat;
}

Result<HttpReply> apply_template(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string model, model_of(service, body));
  MULLAMA_ASSIGN(const text::ChatInput chat, chat_of(body));
  MULLAMA_ASSIGN(const std::string prompt, service.apply_template(model, chat));
  return HttpReply::json({{"prompt", prompt}});
}

Json timings(const Summary& summary) {
  const auto rate = [](double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; };
  const double computed = summary.prompt_tokens - summary.prompt_reused;
  return {{"prompt_n", computed},
          {"prompt_ms", summary.prompt_seconds * 1e3},
          {"prompt_per_second", rate(computed, summary.prompt_seconds)},
          {"predicted_n", summary.generated},
          {"predicted_ms", summary.generate_seconds * 1e3},
          {"predicted_per_second", rate(summary.generated, summary.generate_seconds)}};
}

Json log_prob_of(const TokenLogProb& token) {
  return {
      {"id", token.id}, {"token", token.text}, {"bytes", byte_list(token.text)}, {"logprob", token.log_prob}};
}

/// What `n_probs` asks for, as llama.cpp's servers write it: each token of a piece with the most likely ones
/// in its place.
void add_probabilities(const Delta& delta, Json& list) {
  for (const ChosenToken& token : delta.tokens) {
    Json entry = log_prob_of(token.chosen);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogProb& other : token.top) entry["top_logprobs"].push_back(log_prob_of(other));
    list.push_back(std::move(entry));
  }
}

Json completion_end(const std::string& content, const Summary& summary) {
  const bool limit = summary.reason != engine::FinishReason::stop;
  return {{"content", content},
          {"stop", true},
          {"stop_type", limit                         ? "limit"
                        : summary.stop_string.empty() ? "eos"
                                                      : "word"},
          {"stopping_word", summary.stop_string},
          {"tokens_predicted", summary.generated},
          {"tokens_evaluated", summary.prompt_tokens},
          {"tokens_cached", summary.prompt_reused},
          {"truncated", false},
          {"seed", summary.seed},
          {"timings", timings(summary)},
          {"receipt", receipt_json(summary.receipt)}};
}

/// Every member that the sampling table knows is a parameter of the request.
Status read_completion_options(const Json& body, GenerationRequest& request) {
  Json options = Json::object();
  for (const auto& [name, value] : body.items()) {
    if (sampling::find_parameter(name) != nullptr && !value.is_null() && name != "n_probs")
      options[name] = value;
  }
  if (body.contains("stop") && !body["stop"].is_null()) options["stop"] = body["stop"];
  MULLAMA_TRY(ollama::read_options({{"options", options}}, request));
  MULLAMA_ASSIGN(const auto most, integer_member(body, "n_predict", -1, INT32_MAX));
  if (most) request.max_tokens = static_cast<int32_t>(*most);
  MULLAMA_ASSIGN(const auto alternatives, integer_member(body, "n_probs", -1, 20));
  if (alternatives.value_or(0) > 0) {
    request.top_logprobs = static_cast<int32_t>(*alternatives);
    MULLAMA_ASSIGN(const auto after, flag_member(body, "post_sampling_probs"));
    if (after.value_or(false)) {
      return fail(ErrorCode::invalid_argument,
                  "post_sampling_probs is not supported: probabilities are those before the sampler chain");
    }
  }
  MULLAMA_ASSIGN(const auto grammar, text_member(body, "grammar"));
  if (grammar && !grammar->empty()) {
    request.format.kind = OutputFormat::Kind::gbnf;
    request.format.grammar = *grammar;
  }
  if (body.contains("json_schema") && body["json_schema"].is_object()) {
    request.format.kind = OutputFormat::Kind::schema;
    request.format.schema = body["json_schema"];
  }
  return {};
}

Result<HttpReply> completion(Service& service, const HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  GenerationRequest request;
  MULLAMA_ASSIGN(request.model, model_of(service, body));
  MULLAMA_TRY(read_completion_options(body, request));
  MULLAMA_ASSIGN(const auto stream, flag_member(body, "stream"));
  if (body.contains("prompt") && body["prompt"].is_array()) {
    MULLAMA_ASSIGN(request.prompt, token_ids(body["prompt"], "prompt"));
  } else {
    MULLAMA_ASSIGN(const auto prompt, text_member(body, "prompt"));
    request.prompt = TextPrompt{prompt.value_or(""), true, true};
  }
  request.client_gone = http.client_gone;
  MULLAMA_ASSIGN(auto started, service.generate(std::move(request)));
  const std::shared_ptr<Generation> generation = std::move(started);
  if (!stream.value_or(false)) {
    std::string content;
    Json probabilities = Json::array();
    while (true) {
      MULLAMA_ASSIGN(auto delta, generation->next());
      if (!delta) break;
      content += delta->text;
      add_probabilities(*delta, probabilities);
    }
    Json reply = completion_end(content, generation->summary());
    if (!probabilities.empty()) reply["completion_probabilities"] = std::move(probabilities);
    return HttpReply::json(reply);
  }
  MULLAMA_ASSIGN(auto first, generation->next());
  return HttpReply::streaming(
      "text/event-stream", [generation, first = std::move(first)](StreamWriter& writer) mutable {
        const auto event = [&](const Json& document) {
          return writer.write("data: " + to_text(document) + "\n\n");
        };
        while (first) {
          Json piece = {{"content", first->text}, {"stop", false}};
          if (!first->tokens.empty()) {
            piece["completion_probabilities"] = Json::array();
            add_probabilities(*first, piece["completion_probabilities"]);
          }
          if (!event(piece)) return;
          auto next = generation->next();
          if (!next) return static_cast<void>(event({{"error", {{"message", next.error().message}}}}));
          first = std::move(*next);
        }
        static_cast<void>(event(completion_end("", generation->summary())));
      });
}

Json slot_list(Service& service) {
  Json out = Json::array();
  for (const RunningModel& model : service.running()) {
    for (const RunningModel::Slot& slot : model.slots) {
      out.push_back({{"id", slot.id},
                     {"model", model.name},
                     {"n_ctx", model.context_size},
                     {"is_processing", slot.running},
                     {"request", slot.request},
                     {"tokens", slot.tokens},
                     {"computed", slot.computed},
                     {"generated", slot.generated}});
    }
  }
  return out;
}

Result<HttpReply> props(ServerState& state) {
  Service& service = *state.service;
  Json reply = {{"total_slots", state.parallel}, {"build_info", MULLAMA_VERSION}};
  const std::string model = service.default_model();
  if (model.empty()) return HttpReply::json(reply);
  MULLAMA_ASSIGN(const ModelDescription shown, service.show(model));
  reply["model"] = model;
  reply["chat_template"] = shown.chat_template;
  for (const RunningModel& running : service.running()) {
    if (running.name == shown.stored.name)
      reply["default_generation_settings"] = {{"n_ctx", running.context_size}};
  }
  return HttpReply::json(reply);
}

}  // namespace

void add_completion_routes(Router& router, Service& service) {
  router.add("POST", "/tokenize", [&](HttpRequest& http) { return tokenize(service, http); });
  router.add("POST", "/detokenize", [&](HttpRequest& http) { return detokenize(service, http); });
  router.add("POST", "/apply-template", [&](HttpRequest& http) { return apply_template(service, http); });
  router.add("POST", "/completion", [&](HttpRequest& http) { return completion(service, http); });
}

void add_native_routes(Router& router, ServerState& state) {
  add_completion_routes(router, *state.service);
  add_state_routes(router, state);
}

void add_state_routes(Router& router, ServerState& state) {
  Service& service = *state.service;
  router.add("GET", "/health", [](HttpRequest&) { return HttpReply::json({{"status", "ok"}}); });
  router.add("GET", "/metrics", [&](HttpRequest&) {
    HttpReply reply = HttpReply::text(metrics_text(state));
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return reply;
  });
  router.add("GET", "/memory", [&](HttpRequest&) -> Result<HttpReply> {
    MULLAMA_ASSIGN(const Json report, memory_status(state));
    return HttpReply::json(report);
  });
  router.add("GET", "/props", [&](HttpRequest&) { return props(state); });
  router.add("GET", "/slots", [&](HttpRequest&) { return HttpReply::json(slot_list(service)); });
}

}  // namespace mullama::server
