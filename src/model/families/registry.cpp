#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>

#include "model/families/gemma2.hpp"
#include "model/families/gemma3.hpp"
#include "model/families/gpt_oss.hpp"
#include "model/families/granite.hpp"
#include "model/families/llama.hpp"
#include "model/families/olmo2.hpp"
#include "model/families/phi3.hpp"
#include "model/families/qwen2.hpp"
#include "model/families/qwen3.hpp"
#include "model/families/smollm3.hpp"

namespace mullama::model {

namespace {

constexpr std::array<const ArchSpec*, 11> kArchitectures{&kLlama,  &kQwen2,   &kQwen3, &kQwen3Moe,
                                                         &kGemma2, &kGemma3,  &kPhi3,  &kSmolLm3,
                                                         &kOlmo2,  &kGranite, &kGptOss};

}  // namespace

std::span<const ArchSpec* const> architectures() {
  return kArchitectures;
}

Result<const ArchSpec*> find_architecture(std::string_view name) {
  const auto found = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                  [&](const ArchSpec* spec) { return spec->name == name; });
  if (found != kArchitectures.end()) return *found;
  std::string known;
  for (const ArchSpec* spec : kArchitectures)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", spec->name);
  return fail(ErrorCode::unsupported, "architecture '{}' is not supported; supported are {}", name, known);
}

}  // namespace mullama::model
