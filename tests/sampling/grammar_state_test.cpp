#include "sampling/grammar/grammar_state.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "sampling/grammar/automaton.hpp"
#include "sampling/sampler.hpp"
#include "vocabulary.hpp"

namespace mullama::sampling {
namespace {

constexpr TokenId kEnd = SyntheticVocabulary::kEnd;

GrammarState make(std::string_view gbnf, const std::shared_ptr<const VocabularyTrie>& trie,
                  memory::Ledger& ledger) {
  const auto grammar = gbnf.empty() ? Result<Grammar>(Grammar::json()) : Grammar::parse_gbnf(gbnf);
  EXPECT_TRUE(grammar) << grammar.error().message;
  auto state = GrammarState::create(*grammar, trie, ledger);
  EXPECT_TRUE(state) << state.error().message;
  return std::move(*state);
}

/// Walks a grammar at random and compares every mask with what reading each token's text says.
void compare_with_reading(std::string_view gbnf, const SyntheticVocabulary& vocabulary, int steps,
                          uint32_t seed) {
  memory::Ledger ledger;
  const auto trie = vocabulary.trie(ledger);
  GrammarState state = make(gbnf, trie, ledger);
  const Grammar grammar = gbnf.empty() ? Grammar::json() : *Grammar::parse_gbnf(gbnf);
  ParseStates reading(grammar.automaton());
  ParseStates::SetId set = reading.start();
  std::mt19937 random(seed);
  for (int step = 0; step < steps; ++step) {
    const auto mask = state.mask();
    ASSERT_TRUE(mask) << mask.error().message;
    std::vector<TokenId> allowed;
    for (TokenId id = 0; id < static_cast<TokenId>(vocabulary.size()); ++id) {
      bool expected = false;
      if (id == kEnd) {
        expected = reading.complete(set);
      } else if (!vocabulary.piece(id).empty()) {
        ParseStates::SetId at = set;
        for (const char c : vocabulary.piece(id)) at = reading.step(at, static_cast<uint8_t>(c));
        expected = at != ParseStates::kDead;
      }
      ASSERT_EQ(mask->allows(id), expected)
          << "token " << id << " '" << vocabulary.piece(id) << "' at step " << step << " of " << gbnf;
      if (expected && id != kEnd) allowed.push_back(id);
    }
    EXPECT_EQ(state.is_complete(), reading.complete(set));
    if (allowed.empty()) {
      EXPECT_TRUE(state.is_finished());
      state.reset();
      set = reading.start();
      continue;
    }
    const TokenId chosen = allowed[random() % allowed.size()];
    ASSERT_TRUE(state.accept(chosen));
    for (const char c : vocabulary.piece(chosen)) set = reading.step(set, static_cast<uint8_t>(c));
  }
}

TEST(GrammarState, MasksAgreeWithReadingEveryToken) {
  const SyntheticVocabulary vocabulary(3000);
  const char* const grammars[]{"",
                               "root ::= [^\"]*",
                               "root ::= .{0,200}",
                               "root ::= [a-z ]{3,9} (\"é\" [^a] | [\\u3040-\\u30ff]+)? .*",
                               "root ::= (\"a\" | \"ar\" | \"ent\"+ | [b-z]{0,40} [0-9]?)* \"\\n\"",
                               "root ::= item*\nitem ::= \"(\" item* \")\" | [^()] [^()\\\\]{0,30}",
                               "root ::= [^\\x00-\\x7f]{0,5} \".\""};
  uint32_t seed = 1;
  for (const char* grammar : grammars) compare_with_reading(grammar, vocabulary, 60, seed++);
}

TEST(GrammarState, ChecksTokens) {
  const SyntheticVocabulary vocabulary({"a", "b", "ab", "ba", "\xc3", "\xa9", "\xc3\xa9"});
  memory::Ledger ledger;
  GrammarState state = make("root ::= \"ab\" \"é\"?", vocabulary.trie(ledger), ledger);
  EXPECT_FALSE(state.accept(3));     // b
  EXPECT_FALSE(state.accept(5));     // ba
  EXPECT_FALSE(state.accept(kEnd));  // too early
  EXPECT_FALSE(state.accept(SyntheticVocabulary::kControl));
  for (const TokenId id : {-1, 1000, INT32_MAX, INT32_MIN}) EXPECT_FALSE(state.accept(id)) << id;
  EXPECT_TRUE(state.accept(2));  // a: the refusals changed nothing
  EXPECT_FALSE(state.is_complete());
  EXPECT_TRUE(state.accept(3));
  EXPECT_TRUE(state.is_complete());
  EXPECT_FALSE(state.is_finished());
  const auto mask = state.mask();
  ASSERT_TRUE(mask);
  EXPECT_TRUE(mask->allows(kEnd));
  EXPECT_TRUE(mask->allows(6));  // the first half of é
  EXPECT_TRUE(mask->allows(8));  // all of it
  EXPECT_FALSE(mask->allows(7));
  EXPECT_FALSE(mask->allows(SyntheticVocabulary::kControl));
  EXPECT_TRUE(state.accept(6));
  EXPECT_FALSE(state.is_complete());
  EXPECT_TRUE(state.accept(7));
  EXPECT_TRUE(state.is_finished());
  EXPECT_TRUE(state.accept(kEnd));
  EXPECT_FALSE(state.accept(kEnd));
  EXPECT_FALSE(state.accept(2));
  EXPECT_FALSE(state.accept_text("a"));
  const auto ended = state.mask();
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->allows(kEnd));
  EXPECT_FALSE(ended->allows(2));
  state.reset();
  EXPECT_TRUE(state.accept_text("ab"));
  EXPECT_TRUE(state.is_complete());
}

TEST(GrammarState, RestrictsASampler) {
  const SyntheticVocabulary vocabulary(2000);
  memory::Ledger ledger;
  const auto trie = vocabulary.trie(ledger);
  SamplerParams params;
  params.seed = 4;
  auto chain = SamplerChain::create(params, vocabulary.size(), ledger);
  ASSERT_TRUE(chain);
  std::mt19937 random(1);
  std::vector<float> logits(vocabulary.size());
  for (int run = 0; run < 10; ++run) {
    GrammarState state = make("root ::= \"[\" [0-9]{1,4} (\", \" [0-9]{1,4}){2} \"]\"", trie, ledger);
    std::string text;
    while (true) {
      for (float& logit : logits) logit = static_cast<float>(random() % 1000) / 100.0f;
      const auto mask = state.mask();
      ASSERT_TRUE(mask);
      const auto token = chain->sample(logits, &*mask);
      ASSERT_TRUE(token) << token.error().message;
      ASSERT_TRUE(state.accept(*token));
      if (*token == kEnd) break;
      text += vocabulary.piece(*token);
    }
    EXPECT_EQ(text.front(), '[');
    EXPECT_EQ(text.back(), ']');
    EXPECT_EQ(std::count(text.begin(), text.end(), ','), 2);
  }
}

TEST(GrammarState, MemoryIsCountedBoundedAndGivenBack) {
  const SyntheticVocabulary vocabulary(3000);
  memory::Ledger ledger;
  {
    const auto trie = vocabulary.trie(ledger);
    EXPECT_GE(ledger.usage().in(memory::kHost, memory::Pool::tokenizer), trie->memory_bytes());
    GrammarState state = make("root ::= \"[\" root* \"]\" | [a-z]", trie, ledger);
    for (int depth = 0; depth < 200000; ++depth) {
      ASSERT_TRUE(state.accept_text("["));
      if (depth % 5000 == 0) {
        const auto mask = state.mask();
        ASSERT_TRUE(mask) << mask.error().message;
      }
    }
    EXPECT_LT(ledger.usage().in(memory::kHost, memory::Pool::runtime), uint64_t{64} << 20);
    for (int depth = 0; depth < 200000; ++depth) ASSERT_TRUE(state.accept_text("]"));
    EXPECT_TRUE(state.is_finished());
  }
  EXPECT_EQ(ledger.usage().total(memory::kHost), 0u);
}

TEST(GrammarState, ARefusedChargeIsAnErrorAndTheStateGoesOn) {
  const SyntheticVocabulary vocabulary(3000);
  memory::Ledger ledger;
  const auto trie = vocabulary.trie(ledger);
  GrammarState state = make("", trie, ledger);
  ledger.set_budget(memory::kHost, ledger.usage().total(memory::kHost));
  bool refused = false;
  std::string text = "{\"a\":";
  for (int i = 0; i < 3000 && !refused; ++i) text += i % 2 == 0 ? "[" : "{\"k\":";
  const Status status = state.accept_text(text);
  refused = !status;
  EXPECT_TRUE(refused);
  ledger.set_budget(memory::kHost, std::nullopt);
  EXPECT_TRUE(state.mask());
  EXPECT_TRUE(state.accept_text("1"));
}

/// Of this thread: what others run meanwhile does not count.
double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

#ifdef __SANITIZE_ADDRESS__
constexpr double kLongestMask = 3;  // Instrumented code takes some six times as long.
#else
constexpr double kLongestMask = 0.5;
#endif

// threats.md: "deeply nested or repeated rules blow up": counts that overlap make every step a long one.
TEST(ThreatGrammarAmbiguity, WorkOfAMaskIsBounded) {
  std::string many = "root ::=";
  for (char last = 'A'; last <= 'r'; ++last) {
    if (std::isalpha(last) != 0) many += fmt::format(" [!-{}]{{0,40}}", last);
  }
  for (const std::string& text :
       {many, std::string("root ::= ([a-z0-9]{0,60} [a-y0-8]{0,60} [b-z1-9]{0,60}){0,300}"),
        std::string("root ::= ([a-z0-9]{0,30} [a-y0-8]{0,30}){0,30}"),
        std::string("root ::= (\"a\"{0,100} [a-c]{0,100} [b-z]{0,10}){1,9}")}) {
    const auto grammar = Grammar::parse_gbnf(text);
    ASSERT_TRUE(grammar) << grammar.error().message;
    memory::Ledger ledger;
    const SyntheticVocabulary vocabulary(32000);
    auto state = GrammarState::create(*grammar, vocabulary.trie(ledger), ledger);
    ASSERT_TRUE(state) << state.error().message;
    double longest = 0;
    bool refused = false;
    for (int step = 0; step < 40 && !refused; ++step) {
      const double begin = processor_seconds();
      const auto mask = state->mask();
      longest = std::max(longest, processor_seconds() - begin);
      refused = !mask;
      if (refused) {
        EXPECT_EQ(mask.error().code, ErrorCode::unsupported);
      } else {
        ASSERT_TRUE(state->accept_text("ab"));
      }
    }
    RecordProperty("longest_mask_ms", static_cast<int>(longest * 1e3));
    std::printf("%s: longest mask %.0f ms%s\n", text.substr(0, 60).c_str(), longest * 1e3,
                refused ? ", refused" : "");
    EXPECT_LT(longest, kLongestMask);
  }
}

TEST(VocabularyTrie, RefusesBadInput) {
  memory::Ledger ledger;
  const PieceFunction piece = [](TokenId) { return std::string_view("x"); };
  EXPECT_FALSE(VocabularyTrie::create(piece, 0, {}, ledger));
  const TokenId bad = 5;
  EXPECT_FALSE(VocabularyTrie::create(piece, 5, std::span(&bad, 1), ledger));
  int calls = 0;
  const std::string longer(100, 'y');
  const PieceFunction growing = [&](TokenId) {
    return std::string_view(longer).substr(0, static_cast<size_t>(++calls));
  };
  EXPECT_FALSE(VocabularyTrie::create(growing, 5, {}, ledger));
  ledger.set_budget(memory::kHost, 100);
  EXPECT_FALSE(VocabularyTrie::create(piece, 5, {}, ledger));
}

TEST(VocabularyTrie, SortsEveryTextAndOnlyTexts) {
  const SyntheticVocabulary vocabulary(5000);
  memory::Ledger ledger;
  const auto trie = vocabulary.trie(ledger);
  EXPECT_EQ(trie->tokens().size(), vocabulary.size() - 2);
  for (size_t i = 0; i < trie->tokens().size(); ++i) {
    const TokenId id = trie->tokens()[i];
    EXPECT_EQ(trie->piece(id), vocabulary.piece(id));
    EXPECT_TRUE(i == 0 || trie->piece(trie->tokens()[i - 1]) < trie->piece(id));
  }
}

}  // namespace
}  // namespace mullama::sampling
