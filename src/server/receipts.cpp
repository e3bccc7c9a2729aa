#include "server/receipts.hpp"

#include <algorithm>

#include "server/ollama_json.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

std::string_view name_of(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop:
      return "stop";
    case engine::FinishReason::length:
      return "length";
    case engine::FinishReason::canceled:
      return "canceled";
    case engine::FinishReason::context_full:
      return "context_full";
    case engine::FinishReason::failed:
      return "failed";
  }
  return "failed";
}

}  // namespace

Json receipt_json(const engine::Receipt& receipt) {
  return {{"kv_bytes", receipt.kv_bytes},
          {"peak_scratch", receipt.peak_scratch},
          {"prefix_bytes_reused", receipt.prefix_bytes_reused},
          {"pages_evicted", receipt.pages_evicted},
          {"tokens_cut", receipt.tokens_cut}};
}

void ReceiptLog::add(std::string_view model, const engine::Finish& finish) noexcept {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[added_++ % kKept];
  entry.model_size = std::min(model.size(), entry.model.size());
  std::copy_n(model.begin(), entry.model_size, entry.model.begin());
  entry.ended = std::chrono::system_clock::now();
  entry.reason = finish.reason;
  entry.prompt_tokens = finish.prompt_tokens;
  entry.prompt_reused = finish.prompt_reused;
  entry.generated = finish.generated;
  entry.receipt = finish.receipt;
}

Json ReceiptLog::to_json() const {
  const std::lock_guard lock(mutex_);
  Json out = Json::array();
  for (uint64_t back = 0; back < std::min<uint64_t>(added_, kKept); ++back) {
    const Entry& entry = entries_[(added_ - 1 - back) % kKept];
    Json one = {{"model", std::string_view(entry.model.data(), entry.model_size)},
                {"ended_at", ollama::time_text(entry.ended)},
                {"reason", name_of(entry.reason)},
                {"prompt_tokens", entry.prompt_tokens},
                {"prefix_tokens_reused", entry.prompt_reused},
                {"generated_tokens", entry.generated}};
    one.update(receipt_json(entry.receipt));
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace mullama::server
