#include "server/generation.hpp"

#include <algorithm>

#include "base/without_exceptions.hpp"
#include "text/chat/thinking.hpp"

namespace mullama::server {

namespace {

using sampling::SamplerParams;

constexpr std::chrono::milliseconds kPatience{100};
// A token's text in an answer that is gathered, and in its JSON.
constexpr uint64_t kBytesAToken = 256;
// The same of a token with its probability, which OpenAI's format also spells out byte by byte.
constexpr uint64_t kBytesALogProb = 1024;
// An answer that shifts its context could go on for ever: it may be as long as so many contexts.
constexpr uint64_t kShiftedContexts = 10;
using text::TokenId;
using Json = nlohmann::ordered_json;

/// Ollama's spelling of parameters that the table has under another name.
std::string_view table_name(std::string_view name) {
  return name == "num_probs" ? std::string_view("n_probs") : name;
}

/// Defaults, then the model's own parameters, then what the client set.
Result<SamplerParams> settle(const LoadedEntry& entry, const GenerationRequest& asked) {
  SamplerParams params = asked.sampler;
  for (const auto& [name, value] : entry.texts.parameters) {
    if (sampling::find_parameter(table_name(name)) == nullptr) continue;
    MULLAMA_TRY(sampling::set(params, table_name(name), value));
  }
  for (const auto& [name, value] : asked.options) MULLAMA_TRY(sampling::set(params, table_name(name), value));
  if (asked.top_logprobs >= 0) params.n_probs = asked.top_logprobs;
  return params;
}

void add_stops(const LoadedEntry& entry, std::vector<std::string>& stop) {
  for (const auto& [name, value] : entry.texts.parameters) {
    const auto* texts = std::get_if<std::vector<std::string>>(&value);
    if (texts != nullptr && name == "stop") stop.insert(stop.end(), texts->begin(), texts->end());
  }
  std::erase(stop, std::string());
}

int32_t default_max_tokens(const LoadedEntry& entry) {
  for (const auto& [name, value] : entry.texts.parameters) {
    const auto* number = std::get_if<int64_t>(&value);
    if (number != nullptr && name == "num_predict" && *number >= 0)
      return static_cast<int32_t>(std::min<int64_t>(*number, INT32_MAX));
  }
  return -1;
}

/// The prompt around a gap: prefix, suffix, and the token after which the model fills in what lies between.
Result<std::vector<TokenId>> encode_infill(const text::Tokenizer& tokenizer, const TextPrompt& prompt,
                                           const std::string& suffix, const std::string& name) {
  if (!tokenizer.fim_prefix() || !tokenizer.fim_suffix() || !tokenizer.fim_middle())
    return fail(ErrorCode::invalid_argument, "\"{}\" does not support insert", name);
  std::vector<TokenId> tokens;
  if (tokenizer.add_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  MULLAMA_ASSIGN(const auto before, tokenizer.encode(prompt.text, {false, false}));
  MULLAMA_ASSIGN(const auto after, tokenizer.encode(suffix, {false, false}));
  tokens.push_back(*tokenizer.fim_prefix());
  tokens.insert(tokens.end(), before.begin(), before.end());
  tokens.push_back(*tokenizer.fim_suffix());
  tokens.insert(tokens.end(), after.begin(), after.end());
  tokens.push_back(*tokenizer.fim_middle());
  return tokens;
}

/// A prompt as tokens and, where the model's template made it, as text.
struct EncodedPrompt {
  std::vector<TokenId> tokens;
  std::string text;
};

Result<EncodedPrompt> encode(LoadedEntry& entry, const text::ChatTemplate& with, GenerationRequest& asked) {
  const text::Tokenizer& tokenizer = entry.model->tokenizer();
  EncodedPrompt out;
  if (auto* tokens = std::get_if<std::vector<TokenId>>(&asked.prompt)) {
    out.tokens = std::move(*tokens);
    return out;
  }
  if (const auto* plain = std::get_if<TextPrompt>(&asked.prompt)) {
    if (!asked.suffix.empty()) {
      MULLAMA_ASSIGN(out.tokens, encode_infill(tokenizer, *plain, asked.suffix, entry.name));
      return out;
    }
    out.text = plain->text;
    MULLAMA_ASSIGN(out.tokens, tokenizer.encode(plain->text, {plain->add_special, plain->parse_special}));
    return out;
  }
  const text::ChatInput chat = with_own_messages(entry, std::get<text::ChatInput>(asked.prompt));
  MULLAMA_ASSIGN(out.text, with.render(chat));
  if (asked.context.empty()) {
    MULLAMA_ASSIGN(out.tokens, encode_rendered(tokenizer, out.text));
    return out;
  }
  MULLAMA_ASSIGN(const auto tokens, tokenizer.encode(out.text, {false, true}));
  out.tokens = asked.context;
  out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
  return out;
}

/// How long a prompt may be that has to be cut: what is left is for the answer, at most half of the context.
size_t cut_limit(uint32_t cells, const GenerationRequest& asked) {
  const int32_t most = asked.max_tokens.value_or(-1);
  const uint32_t answer = most < 0 ? cells / 4 : static_cast<uint32_t>(most);
  return cells - std::min(answer, cells / 2);
}

/// Cuts a prompt that is too long and may be cut, and counts what it loses.
Status shorten(LoadedEntry& entry, const text::ChatTemplate& with, GenerationRequest& asked, uint32_t cells,
               EncodedPrompt& prompt, uint64_t& cut) {
  const size_t before = prompt.tokens.size();
  const size_t limit = cut_limit(cells, asked);
  if (auto* chat = std::get_if<text::ChatInput>(&asked.prompt); chat != nullptr && asked.context.empty()) {
    const auto count = [&](const text::ChatInput& some) -> Result<size_t> {
      MULLAMA_ASSIGN(const std::string text, with.render(with_own_messages(entry, some)));
      MULLAMA_ASSIGN(const auto tokens, encode_rendered(entry.model->tokenizer(), text));
      return tokens.size();
    };
    MULLAMA_ASSIGN(*chat, newest_messages(*chat, limit, count));
    MULLAMA_ASSIGN(prompt, encode(entry, with, asked));
  } else {
    const size_t keep = std::min<size_t>(asked.num_keep, limit / 2);
    const auto begin = prompt.tokens.begin() + static_cast<ptrdiff_t>(keep);
    prompt.tokens.erase(begin, begin + static_cast<ptrdiff_t>(before - limit));
  }
  cut = before - prompt.tokens.size();
  return {};
}

/// Which pieces of an answer are told apart.
text::AnswerReaderOptions reader_options(const text::ChatTemplate& with, const GenerationRequest& asked) {
  text::AnswerReaderOptions options;
  const auto* chat = std::get_if<text::ChatInput>(&asked.prompt);
  options.thinking = asked.think ? asked.think->on : chat != nullptr && with.supports_thinking();
  options.tools = chat != nullptr && chat->tools.is_array() && !chat->tools.empty();
  return options;
}

}  // namespace

Status check_ids(const text::Tokenizer& tokenizer, std::span<const TokenId> ids) {
  const auto vocabulary = static_cast<TokenId>(tokenizer.vocab_size());
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocabulary)
      return fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary of {}", id, vocabulary);
  }
  return {};
}

text::ChatInput with_own_messages(const LoadedEntry& entry, text::ChatInput chat) {
  if (!chat.messages.is_array()) return chat;
  auto messages = nlohmann::ordered_json::array();
  bool has_system = false;
  for (const auto& message : chat.messages) {
    const bool is_object = message.is_object() && message.contains("role") && message["role"].is_string();
    has_system |= is_object && (message["role"] == "system" || message["role"] == "developer");
  }
  for (const store::Message& message : entry.texts.messages) {
    if (message.role == "system" && has_system) continue;
    has_system |= message.role == "system";
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  if (!has_system && entry.texts.system && !entry.texts.system->empty()) {
    const nlohmann::ordered_json system = {{"role", "system"}, {"content", *entry.texts.system}};
    messages.insert(messages.begin(), system);
  }
  // What the client says as the system stands at the beginning, as a model's own system message does.
  const auto first = std::ranges::find_if(chat.messages, [](const auto& message) {
    return !message.is_object() ||
           (message.value("role", Json()) != "system" && message.value("role", Json()) != "developer");
  });
  chat.messages.insert(first, messages.begin(), messages.end());
  return chat;
}

Result<text::ChatInput> newest_messages(const text::ChatInput& chat, size_t limit,
                                        const std::function<Result<size_t>(const text::ChatInput&)>& tokens) {
  // A conversation goes on from a user's message; templates refuse others.
  std::vector<size_t> beginnings;
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    if (chat.messages[i].value("role", "") == "user") beginnings.push_back(i);
  }
  const auto from = [&](size_t beginning) {
    text::ChatInput some = chat;
    some.messages = nlohmann::ordered_json::array();
    for (size_t i = 0; i < chat.messages.size(); ++i) {
      const std::string role = chat.messages[i].value("role", "");
      if (i >= beginning || role == "system" || role == "developer")
        some.messages.push_back(chat.messages[i]);
    }
    return some;
  };
  size_t low = 0;  // the first beginning that may fit
  size_t high = beginnings.size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    MULLAMA_ASSIGN(const size_t count, tokens(from(beginnings[middle])));
    (count <= limit ? high : low) = count <= limit ? middle : middle + 1;
  }
  if (low < beginnings.size()) return from(beginnings[low]);
  return fail(ErrorCode::context_full,
              "the last message alone does not fit: prompts that are cut have room for {} tokens here",
              limit);
}

Result<std::vector<TokenId>> encode_rendered(const text::Tokenizer& tokenizer, std::string_view prompt) {
  MULLAMA_ASSIGN(std::vector<TokenId> tokens, tokenizer.encode(prompt, {true, true}));
  // A template that writes the begin-of-sequence token itself must not get a second one.
  const auto bos = tokenizer.bos();
  if (tokens.size() >= 2 && bos && tokens[0] == *bos && tokens[1] == *bos) tokens.erase(tokens.begin());
  return tokens;
}

Result<PreparedRequest> prepare_request(LoadedEntry& entry, GenerationRequest& asked) {
  if (asked.top_logprobs > 20)
    return fail(ErrorCode::invalid_argument, "top_logprobs must be between 0 and 20");
  std::optional<text::ChatTemplate> own;
  memory::Reservation own_memory;
  if (!asked.chat_template.empty()) {
    MULLAMA_ASSIGN(own_memory, memory::Reservation::make(entry.model->ledger(), memory::Pool::runtime,
                                                         text::ChatTemplate::kGuestBytes,
                                                         "a request's own chat template"));
    MULLAMA_ASSIGN(own, entry.chat->with_source(asked.chat_template));
  }
  const text::ChatTemplate& with = own ? *own : *entry.chat;
  if (asked.think && asked.think->on && !with.supports_thinking())
    return fail(ErrorCode::invalid_argument, "\"{}\" does not support thinking", entry.name);
  if (auto* chat = std::get_if<text::ChatInput>(&asked.prompt); chat != nullptr && asked.think) {
    if (!chat->variables.is_object()) chat->variables = nlohmann::ordered_json::object();
    chat->variables.update(text::thinking_variables(asked.think->on, asked.think->level));
  }
  PreparedRequest prepared;
  engine::Request& request = prepared.request;
  MULLAMA_ASSIGN(request.sampler, settle(entry, asked));
  request.stop = asked.stop;
  add_stops(entry, request.stop);
  MULLAMA_ASSIGN(EncodedPrompt prompt, encode(entry, with, asked));
  MULLAMA_TRY(check_ids(entry.model->tokenizer(), prompt.tokens));
  if (prompt.tokens.empty()) return fail(ErrorCode::invalid_argument, "the prompt has no tokens");

  // A request may ask for less than the model was loaded with, and then gets no more.
  const uint32_t cells = std::min(entry.plan.shape.n_ctx, asked.num_ctx.value_or(UINT32_MAX));
  if (prompt.tokens.size() > cells && asked.truncate)
    MULLAMA_TRY(shorten(entry, with, asked, cells, prompt, request.tokens_cut));
  if (prompt.tokens.size() > cells) {
    return fail(ErrorCode::context_full,
                "the prompt has {} tokens, but the context holds {}; shorten the prompt, raise num_ctx, or "
                "allow a cut with truncate",
                prompt.tokens.size(), cells);
  }
  const uint64_t room = asked.shift ? kShiftedContexts * cells : cells - prompt.tokens.size() + 1;
  const auto limit = static_cast<int32_t>(std::min<uint64_t>(room, INT32_MAX));
  const int32_t most = asked.max_tokens.value_or(default_max_tokens(entry));
  request.max_tokens = most < 0 ? limit : std::min(most, limit);
  request.max_cells = cells;
  if (asked.shift) request.shift_keep = asked.num_keep;

  const text::AnswerReaderOptions options = reader_options(with, asked);
  prepared.reader = text::make_answer_reader(with, prompt.text, options);
  request.render_special = prepared.reader->wants_special();
  MULLAMA_ASSIGN(request.constraint,
                 entry.constraints->make(asked.format, with, prompt.text, options.thinking));
  request.prompt = std::move(prompt.tokens);
  return prepared;
}

LocalGeneration::LocalGeneration(ModelPool::Lease lease, std::function<bool()> client_gone,
                                 ServiceCounters& counters, const FolderNames& folders,
                                 std::chrono::steady_clock::time_point since)
    : lease_(std::move(lease)),
      memory_(lease_->model->ledger(), memory::Pool::runtime, "an answer"),
      client_gone_(std::move(client_gone)),
      counters_(counters),
      folders_(folders),
      since_(since) {
  summary_.load_seconds = lease_.load_seconds();
}

LocalGeneration::~LocalGeneration() {
  if (ended_ || !answer_) return;
  ++counters_.canceled;
  lease_->worker->cancel(answer_);
}

Status LocalGeneration::submit(PreparedRequest prepared) {
  engine::Request& request = prepared.request;
  reader_ = std::move(prepared.reader);
  wants_log_probs_ = request.sampler.n_probs >= 0;
  bytes_a_token_ = kBytesAToken + kBytesALogProb * static_cast<uint64_t>(request.sampler.n_probs + 1);
  summary_.tokens = request.prompt;
  MULLAMA_ASSIGN(answer_, lease_->worker->submit(std::move(request)));
  return {};
}

TokenLogProb LocalGeneration::named(TokenId id, float log_prob) const {
  return {id, lease_->model->tokenizer().piece(id, true), log_prob};
}

Status LocalGeneration::add(const engine::Event& event, Delta& delta) {
  if (event.token >= 0) {
    MULLAMA_TRY(memory_.cover((summary_.tokens.size() + 1) * bytes_a_token_));
    summary_.tokens.push_back(event.token);
    if (wants_log_probs_) {
      ChosenToken chosen{named(event.token, event.logprob), {}};
      for (const sampling::TokenLogProb& other : event.top)
        chosen.top.push_back(named(other.id, other.log_prob));
      delta.tokens.push_back(std::move(chosen));
    }
  }
  if (event.text.empty()) return {};
  text::AnswerParts parts;
  reader_->feed(event.text, parts);
  delta.text += parts.text;
  delta.thinking += parts.thinking;
  std::ranges::move(parts.tool_calls, std::back_inserter(delta.tool_calls));
  return {};
}

Status LocalGeneration::finish(const engine::Finish& finish, Delta& delta) {
  ended_ = true;
  text::AnswerParts parts;
  reader_->finish(parts);
  delta.text += parts.text;
  delta.thinking += parts.thinking;
  std::ranges::move(parts.tool_calls, std::back_inserter(delta.tool_calls));

  summary_.reason = finish.reason;
  summary_.stop_string = finish.stop_string;
  summary_.seed = finish.seed;
  summary_.prompt_tokens = finish.prompt_tokens;
  summary_.prompt_reused = finish.prompt_reused;
  summary_.generated = finish.generated;
  summary_.queue_seconds = finish.queue_seconds;
  summary_.prompt_seconds = finish.prompt_seconds;
  summary_.generate_seconds = finish.generate_seconds;
  summary_.receipt = finish.receipt;
  summary_.total_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
  counters_.prompt_tokens += finish.prompt_tokens;
  counters_.reused_tokens += finish.prompt_reused;
  counters_.reused_bytes += finish.receipt.prefix_bytes_reused;
  counters_.generated_tokens += finish.generated;
  counters_.prompt_microseconds += static_cast<uint64_t>(finish.prompt_seconds * 1e6);
  counters_.generate_microseconds += static_cast<uint64_t>(finish.generate_seconds * 1e6);
  if (finish.reason == engine::FinishReason::failed) {
    ++counters_.failed;
    if (finish.error) {
      return tl::unexpected<Error>(Error{finish.error->code, folders_.replace_in(finish.error->message)});
    }
    return fail(ErrorCode::internal, "the request failed");
  }
  if (finish.reason == engine::FinishReason::canceled) {
    ++counters_.canceled;
    return fail(ErrorCode::canceled, "the request was canceled");
  }
  return {};
}

Result<std::optional<Delta>> LocalGeneration::next() {
  if (ended_) return std::nullopt;
  return without_exceptions("the answer", [&] { return wait(); });
}

Result<std::optional<Delta>> LocalGeneration::wait() {
  while (true) {
    MULLAMA_ASSIGN(const std::vector<engine::Event> events, answer_->take(kPatience));
    // Asked for in time's measure, not in that of tokens: whoever gathers a whole answer writes nothing
    // meanwhile.
    if (const auto now = std::chrono::steady_clock::now(); now - last_look_ >= kPatience) {
      last_look_ = now;
      if (client_gone_ && client_gone_()) return fail(ErrorCode::canceled, "the client has gone");
    }
    if (events.empty()) continue;
    Delta delta;
    for (const engine::Event& event : events) {
      MULLAMA_TRY(add(event, delta));
      if (event.finish) MULLAMA_TRY(finish(*event.finish, delta));
    }
    if (!delta.tool_calls.empty()) summary_.called_tools = true;
    const bool empty =
        delta.text.empty() && delta.thinking.empty() && delta.tool_calls.empty() && delta.tokens.empty();
    if (!empty) return delta;
    if (ended_) return std::nullopt;
  }
}

}  // namespace mullama::server
