#include <gtest/gtest.h>
#include <map>

#include "server/native_routes.hpp"
#include "server/routes.hpp"
#include "server/scripted_service.hpp"

namespace mullama::server {
namespace {

using Json = nlohmann::ordered_json;

class Collector final : public StreamWriter {
 public:
  bool write(std::string_view bytes) override {
    text += bytes;
    return true;
  }
  std::string text;
};

class WireFormats : public testing::Test {
 protected:
  WireFormats() {
    add_openai_routes(router_, script_);
    add_anthropic_routes(router_, script_);
    add_completion_routes(router_, script_);
    script_.summary.prompt_tokens = 11;
    script_.summary.generated = 3;
  }

  /// The reply's body; its status in status_.
  std::string post(const std::string& path, const std::string& body) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.body = body;
    const Router::Match match = router_.find("POST", path);
    if (match.handler == nullptr) return "no handler";
    auto made = (*match.handler)(request);
    HttpReply reply;
    if (made) {
      reply = std::move(*made);
    } else {
      reply = router_.render(
          {http_status(made.error().code), made.error().code, made.error().message, "req_1"}, path);
    }
    status_ = reply.status;
    if (!reply.stream) return reply.body;
    Collector collector;
    reply.stream(collector);
    return collector.text;
  }
  /// The JSON of each event; "[DONE]" as a string.
  std::vector<Json> events(const std::string& path, const std::string& body) {
    std::vector<Json> out;
    std::string text = post(path, body);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find("\n\n", begin);
      const std::string event = text.substr(begin, end - begin);
      const std::string data = event.substr(event.find("data: ") + 6);
      out.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
      if (event.starts_with("event: ")) {
        EXPECT_EQ(event.substr(7, event.find('\n') - 7), out.back()["type"]);
      }
      begin = end + 2;
    }
    return out;
  }
  void script_a_call() {
    Delta thought;
    thought.thinking = "hm";
    Delta words;
    words.text = "One moment.";
    Delta call;
    call.tool_calls.push_back({"call_1", "f", {{"a", 1}}});
    script_.deltas = {thought, words, call};
    script_.summary.called_tools = true;
  }

  ScriptedService script_;
  Router router_;
  int status_ = 0;
};

const char* const kChat = R"({"model": "m", "messages": [{"role": "user", "content": "x"}])";

TEST_F(WireFormats, OpenAiStreamsThoughtsWordsAndCalls) {
  script_a_call();
  const auto chunks =
      events("/v1/chat/completions",
             std::string(kChat) + R"(, "stream": true, "stream_options": {"include_usage": true}})");
  ASSERT_EQ(chunks.size(), 7u);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], Json::parse(R"({"role": "assistant", "content": ""})"));
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["reasoning"], "hm");
  EXPECT_EQ(chunks[2]["choices"][0]["delta"]["content"], "One moment.");
  EXPECT_EQ(
      chunks[3]["choices"][0]["delta"]["tool_calls"],
      Json::parse(
          R"([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}])"));
  EXPECT_EQ(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(chunks[5]["choices"].empty());
  EXPECT_EQ(chunks[5]["usage"]["total_tokens"], 14);
  EXPECT_EQ(chunks[6], "[DONE]");
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(chunks[i]["id"], chunks[0]["id"]);
    EXPECT_EQ(chunks[i]["object"], "chat.completion.chunk");
  }
}

TEST_F(WireFormats, OpenAiErrorsBeforeAndWithinAStream) {
  EXPECT_EQ(
      Json::parse(post("/v1/chat/completions",
                       R"({"model": "missing", "messages": [{"role": "user", "content": "x"}]})")),
      Json::parse(
          R"({"error": {"message": "model 'missing' not found", "type": "not_found_error", "param": null, "code": null}})"));
  EXPECT_EQ(status_, 404);
  EXPECT_EQ(Json::parse(post("/v1/chat/completions", "{"))["error"]["type"], "invalid_request_error");
  EXPECT_EQ(status_, 400);
  post("/v1/chat/completions",
       R"({"model": "busy", "stream": true, "messages": [{"role": "user", "content": "x"}]})");
  EXPECT_EQ(status_, 503);
  script_.failure = Error{ErrorCode::internal, "it broke"};
  post("/v1/chat/completions", std::string(kChat) + R"(, "stream": true})");
  EXPECT_EQ(status_, 500);  // nothing was said yet
  Delta words;
  words.text = "a";
  script_.deltas = {words};
  const auto chunks = events("/v1/chat/completions", std::string(kChat) + R"(, "stream": true})");
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(chunks.back()["error"]["message"], "it broke");
}

TEST_F(WireFormats, AnthropicStreamsBlocks) {
  script_a_call();
  const auto chunks = events("/v1/messages", std::string(kChat) + R"(, "max_tokens": 9, "stream": true})");
  std::vector<std::string> types;
  for (const Json& chunk : chunks) types.push_back(chunk["type"]);
  const std::vector<std::string> expected{"message_start",       "ping",
                                          "content_block_start", "content_block_delta",
                                          "content_block_stop",  "content_block_start",
                                          "content_block_delta", "content_block_stop",
                                          "content_block_start", "content_block_delta",
                                          "content_block_stop",  "message_delta",
                                          "message_stop"};
  EXPECT_EQ(types, expected);
  EXPECT_EQ(chunks[0]["message"]["usage"]["input_tokens"], 11);
  EXPECT_EQ(chunks[3]["delta"]["thinking"], "hm");
  EXPECT_EQ(chunks[6]["delta"]["text"], "One moment.");
  EXPECT_EQ(chunks[8]["content_block"]["name"], "f");
  EXPECT_EQ(chunks[9]["delta"]["partial_json"], "{\"a\":1}");
  EXPECT_EQ(chunks[9]["index"], 2);
  EXPECT_EQ(chunks[11]["delta"]["stop_reason"], "tool_use");
  const Json whole = Json::parse(post("/v1/messages", std::string(kChat) + R"(, "max_tokens": 9})"));
  EXPECT_EQ(whole["content"].size(), 3u);
  EXPECT_EQ(whole["content"][2]["input"]["a"], 1);
}

// Anthropic counts what the cache gave apart, OpenAI as a part of the prompt.
TEST_F(WireFormats, TokensFromTheCacheAreCountedAsEachFormatDoes) {
  script_a_call();
  script_.summary.prompt_reused = 8;
  const Json whole = Json::parse(post("/v1/messages", std::string(kChat) + R"(, "max_tokens": 9})"));
  const Json usage = {{"input_tokens", 3},
                      {"cache_creation_input_tokens", 0},
                      {"cache_read_input_tokens", 8},
                      {"output_tokens", 3}};
  EXPECT_EQ(whole["usage"], usage);
  const auto chunks = events("/v1/messages", std::string(kChat) + R"(, "max_tokens": 9, "stream": true})");
  EXPECT_EQ(chunks[11]["usage"], usage);
  const Json openai = Json::parse(post("/v1/chat/completions", kChat + std::string("}")));
  EXPECT_EQ(openai["usage"]["prompt_tokens"], 11);
  EXPECT_EQ(openai["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
}

TEST_F(WireFormats, OpenAiAnswersCarryTheReceipt) {
  script_a_call();
  script_.summary.receipt = {4096, 512, 2048, 3, 1};
  const Json receipt = {{"kv_bytes", 4096},
                        {"peak_scratch", 512},
                        {"prefix_bytes_reused", 2048},
                        {"pages_evicted", 3},
                        {"tokens_cut", 1}};
  EXPECT_EQ(Json::parse(post("/v1/chat/completions", kChat + std::string("}")))["receipt"], receipt);
  EXPECT_EQ(Json::parse(post("/v1/completions", R"({"model": "m", "prompt": "x"})"))["receipt"], receipt);
  EXPECT_EQ(Json::parse(post("/v1/responses", R"({"model": "m", "input": "x"})"))["receipt"], receipt);
  for (const bool usage : {false, true}) {
    const auto chunks =
        events("/v1/chat/completions", std::string(kChat) +
                                           R"(, "stream": true, "stream_options": {"include_usage": )" +
                                           (usage ? "true}}" : "false}}"));
    EXPECT_EQ(chunks[chunks.size() - 2]["receipt"], receipt);
    for (size_t i = 0; i + 2 < chunks.size(); ++i) EXPECT_FALSE(chunks[i].contains("receipt"));
  }
}

TEST_F(WireFormats, AnthropicErrors) {
  const Json missing = Json::parse(
      post("/v1/messages",
           R"({"model": "missing", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})"));
  EXPECT_EQ(missing["type"], "error");
  EXPECT_EQ(missing["error"]["type"], "not_found_error");
  EXPECT_EQ(missing["request_id"], "req_1");
  EXPECT_EQ(Json::parse(post("/v1/messages", std::string(kChat) + "}"))["error"]["message"],
            "max_tokens: is required");
  EXPECT_EQ(
      Json::parse(post(
          "/v1/messages",
          R"({"model": "busy", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})"))["error"]
                                                                                                   ["type"],
      "overloaded_error");
  Delta words;
  words.text = "a";
  script_.deltas = {words};
  script_.failure = Error{ErrorCode::internal, "it broke"};
  const auto chunks = events("/v1/messages", std::string(kChat) + R"(, "max_tokens": 9, "stream": true})");
  EXPECT_EQ(chunks.back(),
            Json::parse(R"({"type": "error", "error": {"type": "api_error", "message": "it broke"}})"));
}

TEST_F(WireFormats, AnthropicConversationsBecomeOurs) {
  post("/v1/messages",
       R"({"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}], "stop_sequences": ["q"],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"},
    "messages": [{"role": "user", "content": "x"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "t"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r"}, {"type": "text", "text": "u"}]}]})");
  EXPECT_EQ(status_, 200);
  const auto& chat = std::get<text::ChatInput>(script_.last.prompt);
  EXPECT_EQ(chat.messages,
            Json::parse(R"([{"role": "system", "content": "s"}, {"role": "user", "content": "x"},
    {"role": "assistant", "content": "t", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
     "reasoning_content": "hm"},
    {"role": "tool", "tool_call_id": "1", "content": "r"}, {"role": "user", "content": "u"}])"));
  EXPECT_EQ(script_.last.format.kind, OutputFormat::Kind::tool_call);
  EXPECT_EQ(script_.last.stop, std::vector<std::string>{"q"});
  EXPECT_EQ(script_.last.max_tokens, 5);
}

TEST_F(WireFormats, ResponsesTellEveryStepInOrder) {
  script_a_call();
  const auto all = events("/v1/responses", R"({"model": "m", "input": "x", "stream": true})");
  std::vector<std::string> types;
  for (size_t i = 0; i < all.size(); ++i) {
    types.push_back(all[i]["type"]);
    EXPECT_EQ(all[i]["sequence_number"], i);
  }
  const std::vector<std::string> expected{"response.created",
                                          "response.in_progress",
                                          "response.output_item.added",
                                          "response.reasoning_summary_part.added",
                                          "response.reasoning_summary_text.delta",
                                          "response.reasoning_summary_text.done",
                                          "response.reasoning_summary_part.done",
                                          "response.output_item.done",
                                          "response.output_item.added",
                                          "response.content_part.added",
                                          "response.output_text.delta",
                                          "response.output_text.done",
                                          "response.content_part.done",
                                          "response.output_item.done",
                                          "response.output_item.added",
                                          "response.function_call_arguments.delta",
                                          "response.function_call_arguments.done",
                                          "response.output_item.done",
                                          "response.completed"};
  EXPECT_EQ(types, expected);
  EXPECT_EQ(all.back()["response"]["output"].size(), 3u);
  EXPECT_EQ(all.back()["response"]["usage"]["total_tokens"], 14);
}

TEST_F(WireFormats, SamplingStopsAndFormatsArePassedOn) {
  post("/v1/chat/completions",
       std::string(kChat) + R"(, "temperature": 0, "top_k": 5, "seed": 7, "stop": ["a", ""], "max_tokens": 1,
    "max_completion_tokens": 2, "logit_bias": {"5": -100, "6": 1.5}, "frequency_penalty": 0.5, "unknown": {}, "logprobs": true,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}, "reasoning_effort": "low"})");
  EXPECT_EQ(status_, 200);
  std::map<std::string, sampling::ParameterValue> options(script_.last.options.begin(),
                                                          script_.last.options.end());
  EXPECT_EQ(std::get<int64_t>(options.at("temperature")), 0);
  EXPECT_EQ(std::get<int64_t>(options.at("top_k")), 5);
  EXPECT_EQ(std::get<int64_t>(options.at("seed")), 7);
  EXPECT_EQ(std::get<std::string>(options.at("logit_bias")), "5=-inf,6=1.5");
  EXPECT_EQ(script_.last.max_tokens, 2);
  EXPECT_EQ(script_.last.stop, std::vector<std::string>{"a"});
  EXPECT_EQ(script_.last.top_logprobs, 0);
  EXPECT_EQ(script_.last.format.kind, OutputFormat::Kind::schema);
  EXPECT_TRUE(script_.last.think && script_.last.think->on);
  EXPECT_FLOAT_EQ(script_.last.sampler.temperature, 1.0f);
}

TEST_F(WireFormats, EmbeddingsAsBase64AreLittleEndianFloats) {
  const Json reply =
      Json::parse(post("/v1/embeddings", R"({"model": "m", "input": "x", "encoding_format": "base64"})"));
  EXPECT_EQ(reply["data"][0]["embedding"], "AACAPwAAAL8=");
}

TEST_F(WireFormats, EmbeddingsTakeTokenIds) {
  using Ids = std::vector<text::TokenId>;
  const auto inputs = [&](const char* input) {
    post("/v1/embeddings", fmt::format(R"({{"model": "m", "input": {}}})", input));
    return script_.last_embedding.inputs;
  };
  EXPECT_EQ(inputs("[1, 2, 3]").at(0).ids, (Ids{1, 2, 3}));
  EXPECT_EQ(inputs("[1, 2, 3]").size(), 1u);
  const auto several = inputs("[[4], [5, 6]]");
  EXPECT_EQ(status_, 200);
  ASSERT_EQ(several.size(), 2u);
  EXPECT_EQ(several[1].ids, (Ids{5, 6}));
  EXPECT_EQ(inputs(R"(["a", "b"])").at(1).text, "b");
  for (const char* bad : {"[]", "[[]]", "[1, \"a\"]", "[[1], 2]", "[1.5]", "[-1]", "[2147483648]",
                          "[18446744073709551615]", "[[1, [2]]]", "{}", "7", "[null]"}) {
    inputs(bad);
    EXPECT_EQ(status_, 400) << bad;
  }
}

TEST_F(WireFormats, CompletionTellsProbabilitiesWhereTheyAreAskedFor) {
  Delta piece;
  piece.text = "a";
  piece.tokens.push_back({{5, "a", -0.25f}, {{5, "a", -0.25f}, {6, "\xc3", -1.5f}}});
  script_.deltas = {piece, piece};
  const Json expected =
      Json::parse(R"({"id": 5, "token": "a", "bytes": [97], "logprob": -0.25, "top_logprobs":
    [{"id": 5, "token": "a", "bytes": [97], "logprob": -0.25}, {"id": 6, "token": "\ufffd", "bytes": [195], "logprob": -1.5}]})");
  const Json whole = Json::parse(post("/completion", R"({"prompt": "x", "n_probs": 2})"));
  EXPECT_EQ(script_.last.top_logprobs, 2);
  EXPECT_EQ(whole["completion_probabilities"], Json::array({expected, expected}));
  const auto chunks = events("/completion", R"({"prompt": "x", "n_probs": 2, "stream": true})");
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0]["completion_probabilities"], Json::array({expected}));
  EXPECT_FALSE(chunks[2].contains("completion_probabilities"));

  script_.deltas = {};
  for (const char* rest : {"", R"(, "n_probs": 0)", R"(, "n_probs": null)"}) {
    const Json none = Json::parse(post("/completion", fmt::format(R"({{"prompt": "x"{}}})", rest)));
    EXPECT_EQ(script_.last.top_logprobs, -1) << rest;
    EXPECT_FALSE(none.contains("completion_probabilities")) << rest;
  }
  for (const char* bad :
       {R"("n_probs": 21)", R"("n_probs": "2")", R"("n_probs": 2, "post_sampling_probs": true)"}) {
    post("/completion", fmt::format(R"({{"prompt": "x", {}}})", bad));
    EXPECT_EQ(status_, 400) << bad;
  }
}

TEST_F(WireFormats, BadRequestsAreSaidSo) {
  for (const char* rest :
       {R"("messages": [])", R"("messages": "x")", R"("messages": [1])", R"("messages": [{"role": "king"}])",
        R"("messages": [{"role": "user", "content": 1}])",
        R"("messages": [{"role": "user", "content": [1]}])",
        R"("messages": [{"role": "user", "content": "x"}], "n": 2)",
        R"("messages": [{"role": "user", "content": "x"}], "tools": [1])",
        R"("messages": [{"role": "user", "content": "x"}], "tool_choice": "required")",
        R"("messages": [{"role": "user", "content": "x"}], "response_format": {"type": "x"})",
        R"("messages": [{"role": "user", "content": "x"}], "stop": [1])",
        R"("messages": [{"role": "user", "content": "x"}], "logit_bias": {"a": 1})",
        R"("messages": [{"role": "user", "content": "x"}], "temperature": [])",
        R"("messages": [{"role": "user", "content": "x"}], "seed": 1.5)",
        R"("messages": [{"role": "user", "content": "x"}], "max_tokens": 1e300)"}) {
    const std::string body = std::string("{\"model\": \"m\", ") + rest + "}";
    EXPECT_EQ(Json::parse(post("/v1/chat/completions", body))["error"]["type"], "invalid_request_error")
        << body;
    EXPECT_EQ(status_, 400) << body;
  }
}

}  // namespace
}  // namespace mullama::server
