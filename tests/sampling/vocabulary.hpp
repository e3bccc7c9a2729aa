#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "memory/ledger.hpp"
#include "sampling/grammar/code_points.hpp"
#include "sampling/grammar/vocabulary_trie.hpp"

/// Token texts with the traits of real vocabularies: every byte, punctuation in clusters, runs of blanks,
/// words with and without a space before them, numbers, characters of many scripts whole and in parts,
/// control tokens.
class SyntheticVocabulary {
 public:
  static constexpr mullama::sampling::TokenId kEnd = 0;
  static constexpr mullama::sampling::TokenId kControl = 1;

  explicit SyntheticVocabulary(size_t size, uint32_t seed = 1) {
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    pieces_ = {"", ""};
    std::set<std::string> seen{""};
    const auto add = [&](const std::string& text) {
      if (pieces_.size() < size && seen.insert(text).second) pieces_.push_back(text);
    };
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    for (size_t n = 2; n <= 64; n *= 2) {
      add(std::string(n, ' '));
      add("\n" + std::string(n, ' '));
      add(std::string(n, '='));
    }
    for (const char* text :
         {"\":",    "\": ",  "\":\"", "\",",  "\", \"", "{\"",      "\"}",   "\"]",  "[\"",   "},",   "],",
          "}]",     "{}",    "[]",    "\\\"", "\\n",    "\\u",      "\\u00", "true", "false", "null", " true",
          " false", " null", "\"\"",  "\\\\", "\":{\"", "\":[",     "]}",    "}}",   "\n\n",  "\t\t", ", ",
          ": ",     "0.",    "-1",    "1e",   "E+",     "\"name\"", "name",  "\"id", "2024-"}) {
      add(text);
    }
    for (int i = 0; i < 1000; ++i) add(std::to_string(i));
    // Words of syllables, as often as a vocabulary has them: most tokens.
    constexpr std::string_view kOnsets[]{"b", "c", "d", "f",  "g",  "h",  "l", "m", "n", "p",
                                         "r", "s", "t", "st", "tr", "pl", "k", "w", ""};
    constexpr std::string_view kRimes[]{"a",  "e",   "i",   "o",     "u",  "ar", "er", "in",
                                        "on", "ing", "ent", "ation", "es", "al", "ou"};
    constexpr uint32_t kScripts[]{0x0430, 0x03b1, 0x05d0, 0x0627, 0x0905, 0x3042,
                                  0x30a2, 0x4e00, 0x5000, 0xac00, 0x1f600};
    constexpr std::string_view kMarks[]{"\"", ".",  ",", "'",  ")", "(", "_", "-",
                                        "/",  "\\", ":", "\n", "]", "}", "#", "$"};
    while (pieces_.size() < size) {
      const size_t kind = below(20);
      std::string text;
      if (kind < 13) {
        if (below(2) == 0) text = " ";
        for (size_t i = 0; i <= below(4); ++i)
          text += std::string(kOnsets[below(19)]) + std::string(kRimes[below(15)]);
        if (below(4) == 0 && text.back() != ' ')
          text.front() = text.front() == ' ' ? ' ' : static_cast<char>(text.front() & ~0x20);
        if (below(12) == 0) text += kMarks[below(16)];
      } else if (kind < 18) {
        const uint32_t base = kScripts[below(11)];
        const uint32_t span = base < 0x3000 ? 32 : base < 0x4000 ? 80 : base < 0xb000 ? 8000 : 60;
        for (size_t i = 0; i <= below(3); ++i)
          mullama::sampling::append_utf8(text, base + static_cast<uint32_t>(below(span)));
        if (below(20) == 0) text.pop_back();  // half a character
      } else {
        for (size_t i = 0; i <= below(4); ++i) text += static_cast<char>('!' + below(94));
      }
      add(text);
    }
  }

  explicit SyntheticVocabulary(std::vector<std::string> pieces) : pieces_{"", ""} {
    pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  }

  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(pieces_.size()); }
  [[nodiscard]] const std::string& piece(mullama::sampling::TokenId id) const {
    return pieces_[static_cast<size_t>(id)];
  }

  [[nodiscard]] std::shared_ptr<const mullama::sampling::VocabularyTrie> trie(
      mullama::memory::Ledger& ledger) const {
    const mullama::sampling::TokenId end = kEnd;
    auto result = mullama::sampling::VocabularyTrie::create(
        [this](mullama::sampling::TokenId id) { return std::string_view(piece(id)); }, size(),
        std::span(&end, 1), ledger);
    return result ? *result : nullptr;
  }

 private:
  std::vector<std::string> pieces_;
};
