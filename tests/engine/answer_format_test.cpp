#include "engine/answer_format.hpp"

#include <gtest/gtest.h>
#include <memory>

#include "sampling/grammar/grammar_state.hpp"
#include "text/tokenizer_files.hpp"

namespace mullama::engine {
namespace {

using sampling::GrammarState;
using text::TokenType;

/// The vocabulary of a model whose answers are messages in channels: bytes and control tokens.
class Channels : public testing::Test {
 protected:
  void SetUp() override {
    text::TokenizerFile file;
    file.model = "gpt2";
    file.pre = "gpt-2";
    file.merges.emplace();
    for (int byte = 0; byte < 256; ++byte) file.add(text::byte_letter(static_cast<uint8_t>(byte)));
    for (const char* name :
         {"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"})
      file.add(name, TokenType::control);
    bytes_ = file.bytes();
    auto opened = gguf::File::parse(std::as_bytes(std::span(bytes_)), "channels");
    ASSERT_TRUE(opened) << opened.error().message;
    file_.emplace(std::move(*opened));
    auto tokenizer = text::Tokenizer::create(*file_, ledger_);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    tokenizer_.emplace(std::move(*tokenizer));
    std::string held;
    const auto piece = [&](sampling::TokenId id) -> std::string_view {
      return held = grammar_text(*tokenizer_, id);
    };
    auto trie = sampling::VocabularyTrie::create(piece, static_cast<uint32_t>(tokenizer_->vocab_size()),
                                                 tokenizer_->end_of_generation(), ledger_);
    ASSERT_TRUE(trie) << trie.error().message;
    trie_ = std::move(*trie);
  }

  static text::ChatTemplate chat() {
    auto made = text::ChatTemplate::from_source(
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
        "{# <|channel|> #}<|start|>assistant",
        "", "");
    EXPECT_TRUE(made);
    return *made;
  }

  GrammarState state_of(Result<sampling::Grammar> grammar) {
    EXPECT_TRUE(grammar) << grammar.error().message;
    auto state = GrammarState::create(std::move(*grammar), trie_, ledger_);
    EXPECT_TRUE(state) << state.error().message;
    return std::move(*state);
  }

  /// Whether each token of `answer` is allowed where it comes, and the answer is a whole one at its end.
  bool allows(GrammarState state, std::string_view answer) {
    const auto tokens = tokenizer_->encode(answer, {false, true});
    EXPECT_TRUE(tokens);
    for (const text::TokenId token : *tokens) {
      const auto mask = state.mask();
      if (!mask || !mask->allows(token) || !state.accept(token)) return false;
    }
    return state.is_complete();
  }

  GrammarState constrained(std::string_view prompt, bool may_think) {
    AnswerFormat format;
    format.json_schema = R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})";
    format.frame = thought_frame(chat(), prompt, may_think);
    for (std::string* text : {&format.frame.thought_open, &format.frame.thought_close, &format.frame.prefix})
      *text = with_control_marks(*tokenizer_, *text);
    return state_of(compile(format));
  }

  std::string bytes_;
  memory::Ledger ledger_;
  std::optional<gguf::File> file_;
  std::optional<text::Tokenizer> tokenizer_;
  std::shared_ptr<const sampling::VocabularyTrie> trie_;
};

TEST_F(Channels, AFormatBindsTheLastChannelAlone) {
  const char* prompt = "<|start|>user<|message|>hi<|end|><|start|>assistant";
  const std::string thought = "<|channel|>analysis<|message|>So {it} is, \xc3\xa9.<|end|><|start|>assistant";
  EXPECT_TRUE(allows(constrained(prompt, true), "<|channel|>final<|message|>{\"a\": 1}"));
  EXPECT_TRUE(allows(constrained(prompt, true), thought + "<|channel|>final<|message|>{\"a\": 1}"));
  // Not without the header, nor in another channel, nor a thought that goes on after another.
  EXPECT_FALSE(allows(constrained(prompt, true), "{\"a\": 1}"));
  EXPECT_FALSE(allows(constrained(prompt, true), "<|channel|>commentary<|message|>{\"a\": 1}"));
  EXPECT_FALSE(
      allows(constrained(prompt, true), thought + thought + "<|channel|>final<|message|>{\"a\": 1}"));
  EXPECT_FALSE(allows(constrained(prompt, true), "<|channel|>final<|message|>so"));
  EXPECT_FALSE(allows(constrained(prompt, true), "<|channel|>final<|message|>{\"a\": 1<|end|>"));
  EXPECT_FALSE(allows(constrained(prompt, false), thought + "<|channel|>final<|message|>{\"a\": 1}"));
  EXPECT_TRUE(allows(constrained(prompt, false), "<|channel|>final<|message|>{\"a\": 1}"));
}

TEST_F(Channels, APromptMayHaveBegunTheMessage) {
  const std::string prompt = "<|start|>user<|message|>hi<|end|><|start|>assistant";
  EXPECT_TRUE(allows(constrained(prompt + "<|channel|>final<|message|>", true), "{\"a\": 1}"));
  EXPECT_TRUE(allows(constrained(prompt + "<|channel|>analysis<|message|>Well", false),
                     ", yes<|end|><|start|>assistant<|channel|>final<|message|>{\"a\": 1}"));
}

TEST_F(Channels, ACallThatIsAskedForIsAMessageToItsFunction) {
  const nlohmann::ordered_json tools = nlohmann::ordered_json::parse(
      R"([{"type": "function", "function": {"name": "add", "parameters": {"type": "object",
          "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}])");
  const auto grammar = [&] {
    return compile_tool_call(*tokenizer_, chat(), tools, thought_frame(chat(), "<|start|>assistant", true));
  };
  const std::string call = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"n\": 3}";
  EXPECT_TRUE(allows(state_of(grammar()), call));
  EXPECT_TRUE(
      allows(state_of(grammar()), "<|channel|>analysis<|message|>Add.<|end|><|start|>assistant" + call));
  EXPECT_FALSE(allows(state_of(grammar()), "<|channel|>final<|message|>{\"n\": 3}"));
}

TEST_F(Channels, TextsAreNeverTakenForControlTokens) {
  // The byte of the mark, as a token of its own, is part of no text and begins no control token.
  GrammarState state = constrained("<|start|>assistant", true);
  const auto mask = state.mask();
  ASSERT_TRUE(mask);
  EXPECT_FALSE(mask->allows(*tokenizer_->find(text::byte_letter(0xff))));
  EXPECT_TRUE(mask->allows(*tokenizer_->find("<|channel|>")));
  EXPECT_FALSE(mask->allows(*tokenizer_->find("<|end|>")));
  // A plain grammar allows no control token anywhere.
  GrammarState plain = state_of(sampling::Grammar::parse_gbnf("root ::= [^x]*"));
  const auto free = plain.mask();
  ASSERT_TRUE(free);
  for (const char* name : {"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>"})
    EXPECT_FALSE(free->allows(*tokenizer_->find(name))) << name;
  EXPECT_TRUE(free->allows(*tokenizer_->find("<")));
}

}  // namespace
}  // namespace mullama::engine
