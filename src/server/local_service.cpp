#include "server/local_service.hpp"

#include <algorithm>

#include "base/huge_page.hpp"
#include "engine/embedding.hpp"
#include "server/generation.hpp"
#include "store/answering.hpp"

namespace mullama::server {

namespace {

using text::TokenId;

// A number of an embedding, as computed, as JSON whose list may have grown to twice its size, and as text.
constexpr uint64_t kBytesAnEmbeddedValue = 128;

nlohmann::ordered_json metadata_value(const gguf::Value& value) {
  if (value.type() == gguf::ValueType::string) return value.text();
  if (value.type() == gguf::ValueType::array) return nullptr;  // they are long: vocabularies and merges
  return nlohmann::ordered_json::parse(value.to_display(), nullptr, false);
}

/// A text as tokens, or tokens that came as such.
Result<std::vector<TokenId>> tokens_of(const text::Tokenizer& tokenizer, const EmbedInput& input) {
  if (input.ids.empty()) return tokenizer.encode(input.text, {true, false});
  MULLAMA_TRY(check_ids(tokenizer, input.ids));
  return input.ids;
}

}  // namespace

LocalService::LocalService(ServiceSettings settings, store::Store store, memory::Ledger ledger)
    : store_(std::move(store)), pool_(std::move(settings), store_, std::move(ledger)) {
  folders_.add(store_.root(), "(models folder)");
  for (const auto& folder : store_.read_only_folders()) folders_.add(folder, "(another models folder)");
  for (const auto& [name, source] : pool_.settings().models) {
    if (store::is_path(source))
      folders_.add(std::filesystem::path(source).parent_path(), "(folder of a model)");
  }
}

Result<ModelPool::Lease> LocalService::acquire(const std::string& model) {
  return pool_.acquire({model, {}, {}, {}});
}

Result<std::unique_ptr<Generation>> LocalService::generate(GenerationRequest request) {
  const auto since = std::chrono::steady_clock::now();
  ++counters_.requests;
  const auto refuse = [&](const Error& error) {
    const bool refused = error.code == ErrorCode::unavailable || error.code == ErrorCode::budget_exceeded;
    ++(refused ? counters_.refused : counters_.failed);
    return tl::unexpected<Error>(error);
  };
  auto lease = pool_.acquire({request.model, request.num_ctx, request.keep_alive, request.client_gone});
  if (!lease) return refuse(lease.error());
  if (!request.unknown_options.empty()) {
    pool_.log(LogLevel::warning,
              fmt::format("a request to {} has options that are not known and were ignored: {}",
                          (*lease)->name, fmt::join(request.unknown_options, ", ")));
  }
  auto prepared = prepare_request(**lease, request);
  if (!prepared) return refuse(prepared.error());
  auto generation = std::make_unique<LocalGeneration>(std::move(*lease), std::move(request.client_gone),
                                                      counters_, folders_, since);
  if (Status queued = generation->submit(std::move(*prepared)); !queued) return refuse(queued.error());
  return generation;
}

Result<memory::Reservation> LocalService::reserve_file_buffer() {
  return memory::Reservation::make(pool_.ledger(), memory::Pool::staging, kHugePageBytes,
                                   "what a file of the store gets next");
}

Result<Embeddings> LocalService::embed(EmbedRequest request) {
  const auto since = std::chrono::steady_clock::now();
  ++counters_.requests;
  MULLAMA_ASSIGN(ModelPool::Lease lease,
                 pool_.acquire({request.model, request.num_ctx, request.keep_alive, request.client_gone}));
  const text::Tokenizer& tokenizer = lease->model->tokenizer();
  const uint32_t cells = std::min(lease->plan.shape.n_ctx, request.num_ctx.value_or(UINT32_MAX));
  Embeddings out;
  out.memory.emplace(pool_.ledger(), memory::Pool::runtime, "embeddings");
  const uint64_t bytes_a_vector = kBytesAnEmbeddedValue * lease->model->definition().program.embedding_width;
  out.model = lease->name;
  out.load_seconds = lease.load_seconds();
  for (const EmbedInput& input : request.inputs) {
    MULLAMA_ASSIGN(std::vector<TokenId> tokens, tokens_of(tokenizer, input));
    MULLAMA_TRY(out.memory->cover((out.vectors.size() + 1) * bytes_a_vector));
    if (tokens.empty()) {
      return fail(ErrorCode::invalid_argument, "an input without text has no embedding");
    }
    if (tokens.size() > cells) {
      if (!request.truncate)
        return fail(ErrorCode::invalid_argument, "the input length exceeds the context length");
      out.tokens_cut += tokens.size() - cells;
      tokens.resize(cells);
    }
    out.prompt_tokens += static_cast<uint32_t>(tokens.size());
    MULLAMA_ASSIGN(std::vector<float> vector, lease->worker->embed(std::move(tokens), request.client_gone));
    engine::cut_embedding(vector, request.dimensions);
    MULLAMA_TRY(engine::check_embedding(vector));
    engine::normalize_embedding(vector);
    out.vectors.push_back(std::move(vector));
  }
  counters_.prompt_tokens += out.prompt_tokens;
  out.total_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  return out;
}

Result<std::vector<TokenId>> LocalService::tokenize(const std::string& model, std::string_view text,
                                                    bool add_special, bool parse_special) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, acquire(model));
  return lease->model->tokenizer().encode(text, {add_special, parse_special});
}

Result<std::string> LocalService::detokenize(const std::string& model, const std::vector<TokenId>& tokens) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, acquire(model));
  return lease->model->tokenizer().decode(tokens, true);
}

Result<std::string> LocalService::token_piece(const std::string& model, TokenId token) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, acquire(model));
  return lease->model->tokenizer().piece(token, true);
}

Result<std::string> LocalService::apply_template(const std::string& model, const text::ChatInput& input) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, acquire(model));
  return lease->chat->render(with_own_messages(*lease, input));
}

Result<uint32_t> LocalService::count_tokens(const std::string& model, const text::ChatInput& input) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, acquire(model));
  MULLAMA_ASSIGN(const std::string prompt, lease->chat->render(with_own_messages(*lease, input)));
  MULLAMA_ASSIGN(const auto tokens, encode_rendered(lease->model->tokenizer(), prompt));
  return static_cast<uint32_t>(tokens.size());
}

Result<std::vector<store::ModelEntry>> LocalService::list() {
  MULLAMA_ASSIGN(std::vector<store::ModelEntry> entries, store_.list());
  // Models of --model that lie elsewhere are served as well.
  for (const auto& [name, source] : pool_.settings().models) {
    if (!store::is_path(source)) continue;
    store::ModelEntry entry;
    entry.name = name;
    entry.weights = source;
    std::error_code failed;
    entry.bytes = std::filesystem::file_size(entry.weights, failed);
    entry.modified = std::filesystem::last_write_time(entry.weights, failed);
    if (!failed) entries.insert(entries.begin(), std::move(entry));
  }
  return entries;
}

Result<ModelDescription> LocalService::show(const std::string& model) {
  ModelDescription out;
  MULLAMA_ASSIGN(out.stored, pool_.find(model));
  MULLAMA_ASSIGN(out.texts, store::read_texts(out.stored));
  MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(out.stored.weights));
  out.summary = store::summarize(file);
  out.chat_template = out.texts.chat_template.value_or(
      std::string(file.string_or("tokenizer.chat_template", "").value_or("")));
  out.capabilities = store::describe_answering(out.stored, out.texts, file).capabilities;
  out.model_info = nlohmann::ordered_json::object();
  for (const auto& [key, value] : file.metadata()) out.model_info[std::string(key)] = metadata_value(value);
  out.model_info["general.parameter_count"] = out.summary.parameters;
  return out;
}

Status LocalService::load(const std::string& model, std::optional<KeepAlive> keep_alive,
                          std::optional<uint32_t> num_ctx) {
  MULLAMA_ASSIGN(const ModelPool::Lease lease, pool_.acquire({model, num_ctx, keep_alive, {}}));
  return {};
}

Status LocalService::unload(const std::string& model) {
  MULLAMA_ASSIGN(const store::StoredModel stored, pool_.find(model));
  pool_.unload(stored.name);
  return {};
}

}  // namespace mullama::server
