/// Writes answers to many JSON Schemas, for check_schemas.py to judge.
///
///   schema_samples MODEL SCHEMAS.json TOKENS [SEED]
///
/// At least TOKENS tokens over all schemas in turn, one line of JSON an answer, then one with the figures. A
/// file with weights chooses tokens by them; a vocabulary alone gets random logits, which wander into every
/// corner of a grammar.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/answer_format.hpp"
#include "engine/engine.hpp"
#include "sampling/grammar/grammar_state.hpp"
#include "sampling/sampler.hpp"
#include "store/store.hpp"

namespace mullama::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostTokens = 400;  // of one answer, then it counts as cut off
constexpr int kPatience = 60;     // tokens after which random answers are pressed to end

/// Of processor time of this thread, so that a busy machine does not show.
double milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// Logits after a token.
class Logits {
 public:
  virtual ~Logits() = default;
  virtual Result<std::span<const float>> first() = 0;
  virtual Result<std::span<const float>> after(sampling::TokenId token, int count) = 0;
};

class ModelLogits final : public Logits {
 public:
  explicit ModelLogits(std::shared_ptr<LoadedModel> model) : model_(std::move(model)) {}

  Result<std::span<const float>> first() override {
    if (!engine_) {
      ContextParams params;
      params.n_ctx = 512;
      MULLAMA_ASSIGN(engine_, Engine::create(model_, params));
    }
    engine_->clear_session();
    MULLAMA_ASSIGN(const auto prompt, model_->tokenizer().encode("Here is an example in JSON:\n"));
    return evaluate(prompt);
  }
  Result<std::span<const float>> after(sampling::TokenId token, int) override {
    return evaluate({&token, 1});
  }

 private:
  Result<std::span<const float>> evaluate(std::span<const sampling::TokenId> tokens) {
    std::span<const float> last;
    MULLAMA_TRY(
        engine_->evaluate_in_session(tokens, false, [&](size_t, std::span<const float> row) { last = row; }));
    return last;
  }

  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<Engine> engine_;
};

class RandomLogits final : public Logits {
 public:
  RandomLogits(LoadedModel& model, uint64_t seed)
      : random_(seed), noise_(2 * model.tokenizer().vocab_size()), logits_(model.tokenizer().vocab_size()) {
    for (float& value : noise_) value = static_cast<float>(random_() >> 40) * 0x1p-22f;  // 0 to 4
    for (size_t id = 0; id < logits_.size(); ++id) {
      const std::string piece = model.tokenizer().piece(static_cast<sampling::TokenId>(id), false);
      const bool closes =
          model.tokenizer().is_end_of_generation(static_cast<sampling::TokenId>(id)) ||
          (piece.size() == 1 && std::string_view("\"}]0").find(piece[0]) != std::string_view::npos);
      if (closes) closers_.push_back(id);
    }
  }
  Result<std::span<const float>> first() override { return draw(0); }
  Result<std::span<const float>> after(sampling::TokenId, int count) override { return draw(count); }

 private:
  std::span<const float> draw(int count) {
    // A piece of the noise, so that a draw costs little beside the masks.
    const auto from = noise_.begin() + static_cast<std::ptrdiff_t>(random_() % logits_.size());
    std::copy_n(from, logits_.size(), logits_.begin());
    const float press = count < kPatience ? 6.0f : 6.0f + 0.5f * static_cast<float>(count - kPatience);
    for (const size_t id : closers_) logits_[id] += press;
    return logits_;
  }

  std::mt19937_64 random_;
  std::vector<float> noise_;
  std::vector<float> logits_;
  std::vector<size_t> closers_;
};

struct Figures {
  std::vector<double> mask_ms;
  std::vector<double> compile_ms;
  uint64_t tokens = 0;
};

Status answer(LoadedModel& model, Logits& logits, size_t index, const Json& schema, uint64_t seed,
              Figures& figures) {
  const auto started = milliseconds();
  AnswerFormat format;
  format.json_schema = schema.dump();
  MULLAMA_ASSIGN(const auto constraint, make_constraint(model, format));
  figures.compile_ms.push_back(milliseconds() - started);
  sampling::SamplerParams params;
  params.seed = seed;
  params.temperature = 1;
  MULLAMA_ASSIGN(auto row, logits.first());
  MULLAMA_ASSIGN(auto chain,
                 sampling::SamplerChain::create(params, static_cast<uint32_t>(row.size()), model.ledger()));
  std::vector<sampling::TokenId> tokens;
  bool complete = false;
  for (int count = 1; count <= kMostTokens && !complete; ++count) {
    const auto before = milliseconds();
    MULLAMA_ASSIGN(const auto* mask, constraint->mask());
    const double took = milliseconds() - before;
    MULLAMA_ASSIGN(const auto token, chain.sample(row, mask));
    chain.accept(token);
    ++figures.tokens;
    const auto accepting = milliseconds();
    MULLAMA_TRY(constraint->accept(token));
    figures.mask_ms.push_back(took + milliseconds() - accepting);
    complete = constraint->finished();
    if (model.tokenizer().is_end_of_generation(token)) break;
    tokens.push_back(token);
    if (complete) break;
    MULLAMA_ASSIGN(row, logits.after(token, count));
  }
  MULLAMA_ASSIGN(const auto text, model.tokenizer().decode(tokens));
  const Json line = {{"schema", index}, {"seed", seed}, {"text", text}, {"complete", complete}};
  std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  return {};
}

Status run(const char* model_file, const char* schema_file, uint64_t wanted, uint64_t seed) {
  memory::Ledger ledger;
  MULLAMA_ASSIGN(const store::StoredModel stored,
                 store::Store(store::StoreFolders::from_environment()).resolve(model_file));
  LoadParams params;
  auto loaded = LoadedModel::load(stored.weights, params, ledger);
  if (!loaded) {
    params.vocabulary_only = true;
    loaded = LoadedModel::load(stored.weights, params, ledger);
  }
  if (!loaded) return tl::unexpected<Error>(loaded.error());
  LoadedModel& model = **loaded;
  std::unique_ptr<Logits> logits;
  if (model.has_weights() && std::getenv("MULLAMA_RANDOM_LOGITS") == nullptr) {
    logits = std::make_unique<ModelLogits>(*loaded);
  } else {
    logits = std::make_unique<RandomLogits>(model, seed);
  }
  const auto started = milliseconds();
  MULLAMA_TRY(model.vocabulary_trie());
  const double trie_ms = milliseconds() - started;
  const Json schemas = Json::parse(std::ifstream(schema_file));
  Figures figures;
  for (uint64_t round = 0; figures.tokens < wanted || round == 0; ++round) {
    for (size_t i = 0; i < schemas.size(); ++i)
      MULLAMA_TRY(answer(model, *logits, i, schemas[i], seed + round, figures));
  }
  const auto at = [](std::vector<double>& values, double share) {
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
  };
  double sum = 0;
  for (const double ms : figures.mask_ms) sum += ms;
  const Json line = {{"tokens", figures.tokens},
                     {"vocabulary", model.tokenizer().vocab_size()},
                     {"trie_ms", trie_ms},
                     {"tokenizer_bytes", model.ledger().usage().in(memory::kHost, memory::Pool::tokenizer)},
                     {"mask_ms_mean", sum / static_cast<double>(figures.mask_ms.size())},
                     {"mask_ms_median", at(figures.mask_ms, 0.5)},
                     {"mask_ms_p99", at(figures.mask_ms, 0.99)},
                     {"mask_ms_max", at(figures.mask_ms, 1)},
                     {"compile_ms_median", at(figures.compile_ms, 0.5)},
                     {"compile_ms_max", at(figures.compile_ms, 1)}};
  std::printf("%s\n", line.dump().c_str());
  return {};
}

}  // namespace
}  // namespace mullama::engine

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: schema_samples MODEL SCHEMAS.json TOKENS [SEED]\n");
    return 2;
  }
  const auto status = mullama::engine::run(argv[1], argv[2], std::strtoull(argv[3], nullptr, 10),
                                           argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1);
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return 1;
}
