#include "made_vocabulary.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>
#include <string_view>
#include <unordered_set>

namespace mullama::bench {

namespace {

constexpr size_t kLongestWord = 14;

/// Writes a code point below 0x800.
std::string utf8(uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

/// The visible character that stands for a byte in GPT-2's vocabulary.
std::string visible(uint32_t byte) {
  const auto plain = [](uint32_t b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  };
  if (plain(byte)) return utf8(byte);
  uint32_t before = 0;
  for (uint32_t b = 0; b < byte; ++b) before += plain(b) ? 0 : 1;
  return utf8(256 + before);
}

/// Grows words out of letters: each new one joins two that exist, the right one without a space before it.
class Words {
 public:
  Words(std::string space, uint64_t seed) : space_(std::move(space)), random_(seed) {
    // Frequent letters more often, so that their words are the short ones, as in a vocabulary that was
    // trained.
    for (const char letter : std::string_view("eeeeetttaaaooiinnsshhrrddlucmwfgypbvk")) {
      inner_.push_back(std::string(1, letter));
    }
    starts_ = {space_};
  }

  struct Word {
    std::string text;
    std::string left;
    std::string right;
  };
  Word next() {
    while (true) {
      const bool spaced = random_() % 2 == 0;
      const std::string& left = spaced ? pick(starts_) : pick(inner_);
      const std::string& right = pick(inner_);
      if (left.size() + right.size() > kLongestWord) continue;
      Word word{left + right, left, right};
      if (!seen_.insert(word.text).second) continue;
      (spaced ? starts_ : inner_).push_back(word.text);
      return word;
    }
  }

 private:
  /// Old words, which are short, more often than new ones.
  const std::string& pick(const std::vector<std::string>& from) {
    const double at = std::uniform_real_distribution<double>(0, 1)(random_);
    return from[static_cast<size_t>(at * at * static_cast<double>(from.size()))];
  }

  std::string space_;
  std::mt19937_64 random_;
  std::vector<std::string> inner_;
  std::vector<std::string> starts_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

MadeVocabulary make_sentence_piece(uint32_t tokens) {
  MadeVocabulary made;
  const auto add = [&](std::string text, int32_t type, float score) {
    made.texts.push_back(std::move(text));
    made.types.push_back(type);
    made.scores.push_back(score);
  };
  add("<unk>", MadeVocabulary::unknown, 0);
  add("<s>", MadeVocabulary::control, 0);
  add("</s>", MadeVocabulary::control, 0);
  for (int b = 0; b < 256; ++b) add(fmt::format("<0x{:02X}>", b), MadeVocabulary::byte, 0);
  const std::string space = "\u2581";
  const auto characters = static_cast<size_t>('~' - '!' + 2);
  Words words(space, 1);
  float score = 0;
  while (made.texts.size() + characters < tokens) add(words.next().text, MadeVocabulary::normal, score -= 1);
  add(space, MadeVocabulary::normal, score -= 1);
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c), MadeVocabulary::normal, score -= 1);
  made.begin = 1;
  made.end = 2;
  return made;
}

MadeVocabulary make_byte_level(uint32_t tokens, uint32_t merges) {
  constexpr uint32_t kSpecial = 256;
  MadeVocabulary made;
  for (uint32_t b = 0; b < 256; ++b) made.texts.push_back(visible(b));
  std::unordered_set<std::string> known(made.texts.begin(), made.texts.end());
  Words words(visible(' '), 2);
  std::vector<std::string> others;
  while (made.texts.size() + kSpecial < tokens) {
    const Words::Word word = words.next();
    made.texts.push_back(word.text);
    known.insert(word.text);
    made.merges.push_back(word.left + " " + word.right);
    for (size_t at = 1; at < word.text.size(); ++at) {
      if (at == word.left.size() || (word.text[at] & '\xc0') == '\x80') continue;
      std::string left = word.text.substr(0, at);
      std::string right = word.text.substr(at);
      if (known.contains(left) && known.contains(right)) others.push_back(left + " " + right);
    }
  }
  const size_t room = merges > made.merges.size() ? merges - made.merges.size() : 0;
  made.merges.insert(made.merges.end(), others.begin(),
                     others.begin() + static_cast<ptrdiff_t>(std::min(room, others.size())));
  made.types.assign(made.texts.size(), MadeVocabulary::normal);
  made.begin = static_cast<uint32_t>(made.texts.size());
  made.end = made.begin + 1;
  for (uint32_t i = 0; i < kSpecial; ++i) {
    made.texts.push_back(fmt::format("<|special_{}|>", i));
    made.types.push_back(MadeVocabulary::control);
  }
  return made;
}

}  // namespace mullama::bench
