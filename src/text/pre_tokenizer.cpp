#include "text/pre_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "text/split_rules.hpp"

namespace mullama::text {

namespace {

constexpr auto kGpt2 = std::to_array<SplitRule>({rules::gpt2});
constexpr auto kDigitsGpt2 = std::to_array<SplitRule>({rules::digit, rules::gpt2});
constexpr auto kLlama3 = std::to_array<SplitRule>({rules::llama3});
constexpr auto kQwen2 = std::to_array<SplitRule>({rules::qwen2});
constexpr auto kQwen35 = std::to_array<SplitRule>({rules::qwen35});
constexpr auto kGpt4o = std::to_array<SplitRule>({rules::gpt4o});
constexpr auto kTekken = std::to_array<SplitRule>({rules::tekken});
constexpr auto kDeepseek3 = std::to_array<SplitRule>({rules::three_digits, rules::kana, rules::deepseek3});
constexpr auto kDeepseekCoder = std::to_array<SplitRule>(
    {rules::newline, rules::spaced_letters, rules::spaced_punctuation, rules::cjk, rules::digit});
constexpr auto kDeepseekLlm =
    std::to_array<SplitRule>({rules::newline, rules::spaced_cased_letters, rules::spaced_signs,
                              rules::ending_space, rules::cjk, rules::digits});
constexpr auto kFalcon =
    std::to_array<SplitRule>({rules::falcon_punctuation, rules::gpt2, rules::ascii_triple});
constexpr auto kDefault =
    std::to_array<SplitRule>({rules::default_punctuation, rules::gpt2, rules::digits, rules::ascii_triple});

constexpr PreTokenizer llama3(std::string_view name) {
  return {.name = name, .rules = kLlama3, .ignore_merges = true, .add_bos = true};
}
constexpr PreTokenizer qwen2(std::string_view name) {
  return {.name = name, .rules = kQwen2, .nfc = true};
}
constexpr PreTokenizer gpt2(std::string_view name) {
  return {.name = name, .rules = kGpt2};
}
constexpr PreTokenizer neox(std::string_view name) {
  return {.name = name, .rules = kGpt2, .nfc = true};
}
constexpr PreTokenizer digits_gpt2(std::string_view name) {
  return {.name = name, .rules = kDigitsGpt2};
}
constexpr PreTokenizer gpt4o(std::string_view name) {
  return {.name = name, .rules = kGpt4o, .ignore_merges = true};
}
constexpr PreTokenizer deepseek3(std::string_view name) {
  return {.name = name, .rules = kDeepseek3};
}
constexpr PreTokenizer cl100k(std::string_view name) {
  return {.name = name, .rules = kLlama3};
}

// The names that files of the supported families and their relatives carry.
constexpr auto kPreTokenizers = std::to_array<PreTokenizer>({
    {.name = "default", .rules = kDefault},
    llama3("llama-bpe"),
    llama3("llama3"),
    llama3("llama-v3"),
    llama3("falcon3"),
    llama3("falcon-h1"),
    llama3("pixtral"),
    llama3("midm-2.0"),
    llama3("lfm2"),
    cl100k("dbrx"),
    cl100k("smaug-bpe"),
    cl100k("chatglm-bpe"),
    cl100k("glm4"),
    qwen2("qwen2"),
    qwen2("deepseek-r1-qwen"),
    qwen2("megrez"),
    {.name = "qwen35", .rules = kQwen35, .nfc = true},
    {.name = "stablelm2", .rules = kQwen2},
    {.name = "hunyuan", .rules = kQwen2},
    {.name = "solar-open", .rules = kQwen2},
    gpt2("gpt-2"),
    gpt2("phi-2"),
    gpt2("roberta-bpe"),
    gpt2("jais"),
    gpt2("gigachat"),
    gpt2("a.x-4.0"),
    gpt2("mellum"),
    gpt2("modern-bert"),
    gpt2("exaone4"),
    gpt2("trillion"),
    gpt2("granite-docling"),
    neox("mpt"),
    neox("olmo"),
    digits_gpt2("smollm"),
    digits_gpt2("starcoder"),
    digits_gpt2("refact"),
    digits_gpt2("granite"),
    digits_gpt2("codeshell"),
    digits_gpt2("exaone"),
    digits_gpt2("minerva-7b"),
    {.name = "command-r", .rules = kDigitsGpt2, .nfc = true},
    {.name = "deepseek-coder", .rules = kDeepseekCoder},
    {.name = "deepseek-llm", .rules = kDeepseekLlm},
    deepseek3("deepseek-v3"),
    deepseek3("hunyuan-dense"),
    deepseek3("joyai-llm"),
    {.name = "falcon", .rules = kFalcon},
    {.name = "tekken", .rules = kTekken, .ignore_merges = true, .add_bos = true},
    gpt4o("gpt-4o"),
    gpt4o("gpt-oss"),
    gpt4o("llama4"),
    gpt4o("kanana2"),
});

}  // namespace

std::span<const PreTokenizer> pre_tokenizers() {
  return kPreTokenizers;
}

Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name) {
  const auto found = std::find_if(kPreTokenizers.begin(), kPreTokenizers.end(),
                                  [name](const PreTokenizer& known) { return known.name == name; });
  if (found != kPreTokenizers.end()) return &*found;
  std::string names;
  for (const PreTokenizer& known : kPreTokenizers)
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  return fail(ErrorCode::unsupported,
              "unknown pre-tokenizer '{}'; if the model's tokenizer splits like a known one, override it "
              "with --pre NAME "
              "(known: {})",
              name, names);
}

}  // namespace mullama::text
