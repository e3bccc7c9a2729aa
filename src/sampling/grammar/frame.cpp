#include "sampling/grammar/frame.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "sampling/grammar/code_points.hpp"
#include "sampling/grammar/vocabulary_trie.hpp"

namespace mullama::sampling {

namespace {

/// Length of the longest beginning of `tag` that `tag`'s first `matched` code points and `next` end with.
size_t matched_after(const std::vector<uint32_t>& tag, size_t matched, uint32_t next) {
  std::vector<uint32_t> seen(tag.begin(), tag.begin() + static_cast<std::ptrdiff_t>(matched));
  seen.push_back(next);
  size_t length = std::min(seen.size(), tag.size());
  while (!std::equal(seen.end() - static_cast<std::ptrdiff_t>(length), seen.end(), tag.begin())) --length;
  return length;
}

/// Any text up to and with the first `tag`. The search for the tag is a machine whose state is how much of it
/// was just read.
ExprId up_to(RuleSet& rules, std::string_view tag_text) {
  // A control token is part of no text, so that the first one is the tag's.
  if (tag_text.starts_with(kControlMark)) {
    const ExprId text = rules.repeat(rules.set(CodePointSet().complement()), 0, std::nullopt);
    return rules.sequence({text, rules.literal(tag_text)});
  }
  std::vector<uint32_t> tag;
  while (const auto code_point = next_code_point(tag_text)) tag.push_back(*code_point);
  CodePointSet letters;
  for (const uint32_t letter : tag) letters = letters.united(CodePointSet::of(letter));
  const ExprId others = rules.set(letters.complement());
  Machine machine;
  machine.states.resize(tag.size() + 1);
  machine.states.back().final = true;
  for (size_t matched = 0; matched < tag.size(); ++matched) {
    auto& edges = machine.states[matched].edges;
    edges.push_back({others, 0});
    for (const CodePointRange& range : letters.ranges()) {
      for (uint32_t letter = range.first; letter <= range.last; ++letter) {
        edges.push_back({rules.set(CodePointSet::of(letter)),
                         static_cast<uint32_t>(matched_after(tag, matched, letter))});
      }
    }
  }
  return rules.machine(std::move(machine));
}

}  // namespace

RuleId framed(RuleSet& rules, RuleId inner, const GrammarFrame& frame) {
  if (frame.empty()) return inner;
  std::vector<ExprId> parts;
  if (!frame.thought_close.empty()) {
    const ExprId blanks = rules.repeat(rules.set(CodePointSet({{'\n', '\n'}, {' ', ' '}})), 0, 3);
    const ExprId rest = rules.sequence({up_to(rules, frame.thought_close), blanks});
    parts.push_back(frame.inside_thought
                        ? rest
                        : rules.optional(rules.sequence({rules.literal(frame.thought_open), rest})));
  }
  if (!frame.prefix.empty()) parts.push_back(rules.literal(frame.prefix));
  parts.push_back(rules.rule(inner));
  if (!frame.suffix.empty()) parts.push_back(rules.literal(frame.suffix));
  const RuleId root = rules.add_rule("framed");
  rules.define(root, rules.sequence(std::move(parts)));
  return root;
}

}  // namespace mullama::sampling
