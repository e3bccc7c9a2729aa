// A grammar, a JSON Schema or a regular expression, as a stranger sends it, and a text that is to follow it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

#include "engine/answer_format.hpp"
#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/grammar_state.hpp"
#include "sampling/grammar/parse_states.hpp"
#include "sampling/vocabulary.hpp"

using namespace mullama;
using namespace mullama::sampling;

namespace {

constexpr size_t kMostText = 64;
constexpr uint64_t kReferenceWork = uint64_t{1} << 21;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

void require_message(const Error& error) {
  require(!error.message.empty() && error.message.find('\n') == std::string::npos, "an error is one line");
}

/// Seconds of processor time of this thread, so that a busy machine does not show.
double seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// One step of the product's own must not take longer than a second, as its limits on work promise;
/// sanitizers and what fuzzers steer by make it ten times slower.
class Step {
 public:
  explicit Step(const char* what) : what_(what), since_(seconds()) {}
  ~Step() {
    if (const double took = seconds() - since_; took > 10) {
      std::fprintf(stderr, "%s took %.1f s\n", what_, took);
      std::abort();
    }
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

 private:
  const char* what_;
  double since_;
};

const SyntheticVocabulary& vocabulary() {
  static const SyntheticVocabulary made(700);
  return made;
}
TokenId token_of(uint8_t byte) {
  return 2 + byte;  // behind the two control tokens
}

Result<Grammar> compile(uint8_t kind, std::string_view source) {
  const Step step("compiling");
  engine::AnswerFormat format;
  switch (kind % 3) {
    case 0:
      format.grammar = source;
      return engine::compile(format);
    case 1:
      format.json_schema = source;
      return engine::compile(format);
    default:
      return Grammar::from_json_schema({{"type", "string"}, {"pattern", std::string(source)}});
  }
}

/// What the mask says of each token is what its bytes lead to, one by one.
void check_mask(const TokenMask& mask, ParseStates& states, ParseStates::SetId at) {
  for (TokenId id = 2; id < static_cast<TokenId>(vocabulary().size()); ++id) {
    ParseStates::SetId set = at;
    for (const char c : vocabulary().piece(id)) {
      set = states.step(set, static_cast<uint8_t>(c));
      if (set == ParseStates::kTooMany) return;
      if (set == ParseStates::kDead) break;
    }
    require(mask.allows(id) == (set != ParseStates::kDead), "a mask allows what the grammar does");
  }
}

void follow(const Grammar& grammar, std::string_view text) {
  static memory::Ledger ledger;
  static const auto trie = vocabulary().trie(ledger);
  Result<GrammarState> state = [&] {
    const Step step("the first state");
    return GrammarState::create(grammar, trie, ledger);
  }();
  if (!state) return require_message(state.error());
  ParseStates reference(grammar.automaton());
  reference.set_work_limit(kReferenceWork);
  ParseStates::SetId set = reference.start();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto mask = [&] {
      const Step step("a mask");
      return state->mask();
    }();
    if (!mask) {
      require(mask.error().code == ErrorCode::unsupported, "only the limits on work end an answer");
      return require_message(mask.error());
    }
    require(mask->allows(SyntheticVocabulary::kEnd) == state->is_complete(), "what is whole may end");
    require(!mask->allows(SyntheticVocabulary::kControl), "no grammar of a text allows a control token");
    bool any = state->is_complete();
    for (const uint64_t word : mask->words()) any |= word != 0;
    require(any, "what begins to match can be finished");
    if (set != ParseStates::kTooMany && i % 8 == 0) check_mask(*mask, reference, set);

    const bool allowed = mask->allows(token_of(byte));
    const Status accepted = [&] {
      const Step step("a token");
      return state->accept(token_of(byte));
    }();
    if (!accepted) {
      require_message(accepted.error());
      if (accepted.error().code == ErrorCode::unsupported) return;
    }
    require(accepted.has_value() == allowed, "a token is accepted if the mask allows it");
    if (accepted && set != ParseStates::kTooMany) set = reference.step(set, byte);
  }
}

}  // namespace

/// The first byte chooses between GBNF, JSON Schema and a schema's `pattern`, which follows to a zero byte;
/// the text is behind that, or the source itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = rest.find('\0');
  const std::string_view source = rest.substr(0, end);
  const std::string_view text = end == std::string_view::npos ? source : rest.substr(end + 1);
  const auto grammar = compile(data[0], source);
  if (!grammar) {
    require_message(grammar.error());
    return 0;
  }
  follow(*grammar, text.substr(0, kMostText));
  return 0;
}
