#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "engine/engine.hpp"

namespace mullama::server {

/// A receipt as all that tell of it write it.
[[nodiscard]] nlohmann::ordered_json receipt_json(const engine::Receipt& receipt);

/// The receipts of the last requests, in memory of a fixed size. Thread-safe.
class ReceiptLog {
 public:
  static constexpr size_t kKept = 32;

  void add(std::string_view model, const engine::Finish& finish) noexcept;
  /// Newest first.
  [[nodiscard]] nlohmann::ordered_json to_json() const;

 private:
  struct Entry {
    std::array<char, 128> model;  // cut where a name is longer
    size_t model_size;
    std::chrono::system_clock::time_point ended;
    engine::FinishReason reason;
    uint32_t prompt_tokens;
    uint32_t prompt_reused;
    uint32_t generated;
    engine::Receipt receipt;
  };

  mutable std::mutex mutex_;
  std::array<Entry, kKept> entries_;
  uint64_t added_ = 0;
};

}  // namespace mullama::server
