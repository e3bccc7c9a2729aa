#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "sampling/parameter_table.hpp"
#include "sampling/sampler.hpp"

using namespace mullama;

/// Lines of "name value" as a command line or a Modelfile gives them; the bytes after an empty line are
/// logits of any bit pattern. Whatever is accepted must sample to a token or an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  sampling::SamplerParams params;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) break;
    const size_t space = line.find(' ');
    const std::string_view name = line.substr(0, space);
    const std::string_view value =
        space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
    if (sampling::set_text(params, name, value)) {
      const auto* info = sampling::find_parameter(name);
      // What was read can be written and read again.
      if (info == nullptr || !sampling::set_text(params, name, sampling::format_parameter(params, *info)))
        std::abort();
    }
  }
  constexpr uint32_t kVocab = 70;
  memory::Ledger ledger;
  auto chain = sampling::SamplerChain::create(
      params, kVocab, ledger,
      {.context_size = 100, .piece = [](sampling::TokenId id) {
         return std::string_view("a\n:\"*xyz,").substr(static_cast<size_t>(id) % 9, 2);
       }});
  if (!chain) return 0;
  std::vector<float> row(kVocab);
  for (int step = 0; step < 4; ++step) {
    for (size_t i = 0; i < row.size(); ++i) {
      float value = static_cast<float>(i % 7);
      if (text.size() >= sizeof(float)) {
        std::memcpy(&value, text.data(), sizeof(float));
        text.remove_prefix(sizeof(float));
      }
      row[i] = value;
    }
    const auto token = chain->sample(row);
    if (!token) continue;
    if (*token < 0 || *token >= static_cast<int32_t>(kVocab)) std::abort();
    // The chosen token had a logit to be chosen by.
    if (row[static_cast<size_t>(*token)] == -std::numeric_limits<float>::infinity()) std::abort();
    for (int i = 0; i < 30; ++i) chain->accept((*token + i % 3) % static_cast<int32_t>(kVocab));
  }
  return 0;
}
