#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "memory/ledger.hpp"
#include "quant/file_type.hpp"

namespace mullama::quant {

struct QuantizeOptions {
  bool allow_requantize = false;  ///< Accept tensors that are quantized already; each step loses quality.
  unsigned threads = 0;           ///< 0 is one for each CPU that the system reports.
  /// Counts the working memory, a few MiB and one more for each thread. The file that is read once from end
  /// to end is mapped and not counted: the system takes its pages back.
  memory::Ledger ledger = memory::Ledger::process();
};

struct QuantizeProgress {
  size_t tensor = 0;   ///< Counted from 0,
  size_t tensors = 0;  ///< of so many.
  std::string_view name;
  gguf::TensorType from = gguf::TensorType::F32;
  gguf::TensorType to = gguf::TensorType::F32;
  uint64_t values_done = 0;  ///< Of the whole file.
  uint64_t values = 0;
};

/// Called on the thread that called quantize_file(), many times a second; returning false cancels.
using QuantizeCallback = std::function<bool(const QuantizeProgress&)>;

struct QuantizeReport {
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  size_t tensors = 0;
  size_t converted = 0;  ///< Tensors whose type changed.
  size_t fallbacks = 0;  ///< Tensors whose rows do not fill the blocks of the type that the mix asks for.
};

/// Writes the model `in` (all parts of a split one) as a single file `out` of `file_type`, atomically: on any
/// error `out` is what it was before. Sources are F32, F16 and BF16; MXFP4 tensors are kept, any other type
/// needs `allow_requantize`. A weight that is not finite, or too large for the scales of the target, is an
/// error that names its tensor.
[[nodiscard]] Result<QuantizeReport> quantize_file(const std::filesystem::path& in,
                                                   const std::filesystem::path& out, FileType file_type,
                                                   const QuantizeOptions& options = {},
                                                   const QuantizeCallback& callback = {});

}  // namespace mullama::quant
