#include "quant/quantize_file.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/huge_page.hpp"
#include "base/thread_team.hpp"
#include "base/without_exceptions.hpp"
#include "gguf/file.hpp"
#include "gguf/writer.hpp"
#include "quant/format.hpp"
#include "quant/tensor_mix.hpp"

namespace mullama::quant {

namespace {

using gguf::TensorInfo;
using gguf::TensorType;

// Both are multiples of every block. A chunk's floats stay in a core's cache; a slab is what is written at
// once.
constexpr size_t kChunkValues = 8192;
constexpr size_t kSlabValues = 128 * kChunkValues;
constexpr float kLargestHalf = 65504.0F;
constexpr uint32_t kQuantizationVersion = 2;  // Of the block formats; older ones are long gone.

bool is_float(TensorType type) {
  return gguf::info(type).block_values == 1;
}

size_t bytes_of(TensorType type, size_t values) {
  const auto& entry = gguf::info(type);
  return values / entry.block_values * entry.block_bytes;
}

std::optional<size_t> first_beyond(const float* x, size_t count, float limit) {
  bool beyond = false;
  for (size_t i = 0; i < count; ++i) beyond |= !(std::fabs(x[i]) <= limit);
  if (!beyond) return std::nullopt;
  return static_cast<size_t>(std::find_if(x, x + count, [&](float v) { return !(std::fabs(v) <= limit); }) -
                             x);
}

/// Converts slabs of one tensor at a time, spreading their chunks over threads.
class Converter {
 public:
  static Result<Converter> create(const QuantizeOptions& options) {
    Converter converter;
    const unsigned threads =
        options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
    converter.threads_ = std::min(threads, 256u);
    using memory::Buffer;
    using memory::Placement;
    using memory::Pool;
    constexpr uint64_t kOutBytes = kSlabValues * sizeof(float);
    const uint64_t scratch_bytes = converter.threads_ * kChunkValues * sizeof(float);
    const uint64_t stack_bytes = ThreadTeam::stack_bytes_needed(converter.threads_);
    const std::vector<memory::PlanRow> rows{
        {memory::kHost, Pool::staging, Buffer::footprint(kOutBytes, Placement::committed), "quantized rows"},
        {memory::kHost, Pool::staging, Buffer::footprint(scratch_bytes, Placement::committed),
         "rows to quantize"},
        {memory::kHost, Pool::staging, kHugePageBytes, "what the file gets next"},
        {memory::kHost, Pool::threads, Buffer::footprint(stack_bytes, Placement::lazy), "stacks"}};
    memory::Ledger ledger = options.ledger;
    if (const Status fits = ledger.fits(rows); !fits) {
      return fail(fits.error().code, "quantizing with {} thread{}: {}; fewer threads need less",
                  converter.threads_, converter.threads_ == 1 ? "" : "s", fits.error().message);
    }
    converter.announced_ = ledger.announce(rows);
    MULLAMA_ASSIGN(converter.out_,
                   ledger.take(Pool::staging, kOutBytes, Placement::committed, "quantized rows"));
    MULLAMA_ASSIGN(converter.scratch_,
                   ledger.take(Pool::staging, scratch_bytes, Placement::committed, "rows to quantize"));
    MULLAMA_ASSIGN(converter.written_,
                   ledger.charge(Pool::staging, memory::kHost, kHugePageBytes, "what the file gets next"));
    MULLAMA_ASSIGN(converter.stacks_,
                   ledger.take(Pool::threads, stack_bytes, Placement::lazy, "stacks of quantizing threads"));
    auto team = ThreadTeam::create(converter.threads_, converter.stacks_.as<std::byte>());
    // A system that is out of threads slows the work down, nothing else.
    if (!team) team = ThreadTeam::create(1, {});
    MULLAMA_ASSIGN(converter.team_, std::move(team));
    return converter;
  }

  /// The bytes of values [first, first + values) of `tensor` in type `to`; valid until the next call.
  Result<std::span<const std::byte>> convert(const TensorInfo& tensor, TensorType to, uint64_t first,
                                             size_t values) {
    const std::byte* in = tensor.data + bytes_of(tensor.type, first);
    const size_t chunks = (values + kChunkValues - 1) / kChunkValues;
    std::atomic<size_t> next{0};
    std::mutex mutex;
    size_t bad_chunk = chunks;
    Error error;
    const auto work = [&](size_t worker) {
      float* scratch = scratch_.as<float>().data() + worker * kChunkValues;
      for (size_t chunk = next++; chunk < chunks; chunk = next++) {
        const size_t begin = chunk * kChunkValues;
        const size_t count = std::min(kChunkValues, values - begin);
        const Status status = without_exceptions("quantizing", [&] {
          return convert_chunk(tensor, to, first + begin, in + bytes_of(tensor.type, begin), scratch,
                               out_.data() + bytes_of(to, begin), count);
        });
        if (status) continue;
        // The error of the first bad value is the one to report, whoever finds it.
        const std::lock_guard lock(mutex);
        if (chunk < bad_chunk) {
          bad_chunk = chunk;
          error = status.error();
        }
        next = chunks;
      }
    };
    team_->run([&](unsigned worker) { work(worker); });
    if (bad_chunk < chunks) return tl::unexpected<Error>(std::move(error));
    return std::span<const std::byte>(out_.data(), bytes_of(to, values));
  }

 private:
  Converter() = default;

  static Status convert_chunk(const TensorInfo& tensor, TensorType to, uint64_t first, const std::byte* in,
                              float* scratch, std::byte* out, size_t count) {
    dequantize_row(tensor.type, in, scratch, count);
    const bool copied = to == tensor.type;
    const float limit = copied || to == TensorType::F32 || to == TensorType::BF16 ? HUGE_VALF : kLargestHalf;
    const float finite_limit = std::min(limit, 3.4028234664e38F);
    if (const auto bad = first_beyond(scratch, count, finite_limit)) {
      const float value = scratch[*bad];
      if (!std::isfinite(value)) {
        return fail(ErrorCode::corrupt_file,
                    "tensor '{}' holds {} at value {}; a model with such weights cannot be used", tensor.name,
                    value, first + *bad);
      }
      return fail(ErrorCode::unsupported,
                  "tensor '{}' holds {} at value {}, too large for {}; BF16 can hold it", tensor.name, value,
                  first + *bad, gguf::name(to));
    }
    if (copied) {
      std::memcpy(out, in, bytes_of(to, count));
    } else {
      format(to).quantize(scratch, nullptr, out, count);
    }
    return {};
  }

  unsigned threads_ = 1;
  memory::Announcement announced_;
  memory::Buffer out_;
  memory::Buffer scratch_;
  memory::Charge written_;  ///< The writer's buffer.
  memory::Buffer stacks_;
  std::unique_ptr<ThreadTeam> team_;  // after the stacks that it uses
};

// Keeps what must or may not be quantized again, and refuses what the caller did not allow.
Status settle_sources(const gguf::File& file, const QuantizeOptions& options,
                      std::vector<TensorChoice>& choices) {
  for (size_t i = 0; i < choices.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    TensorChoice& choice = choices[i];
    if (choice.kept || choice.type == tensor.type || is_float(tensor.type) || options.allow_requantize)
      continue;
    if (tensor.type == TensorType::MXFP4) {
      choice = {tensor.type, true, false};
      continue;
    }
    return fail(
        ErrorCode::invalid_argument,
        "tensor '{}' of '{}' is already quantized as {}; start from an F32, F16 or BF16 file, or allow "
        "requantizing and accept its loss",
        tensor.name, file.label(), gguf::name(tensor.type));
  }
  return {};
}

Result<gguf::Writer> write_header(const gguf::File& file, const std::filesystem::path& out,
                                  FileType file_type, const std::vector<TensorChoice>& choices) {
  MULLAMA_ASSIGN(gguf::Writer writer, gguf::Writer::create(out, static_cast<uint32_t>(file.alignment())));
  for (const gguf::File::Entry& entry : file.metadata()) {
    if (!entry.key.starts_with("split.")) writer.set(entry.key, entry.value);
  }
  writer.set("general.file_type", static_cast<uint32_t>(file_type));
  writer.set("general.quantization_version", kQuantizationVersion);
  for (size_t i = 0; i < choices.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    MULLAMA_TRY(
        writer.add_tensor(tensor.name, choices[i].type, std::span(tensor.shape).first(tensor.dimensions)));
  }
  MULLAMA_TRY(writer.begin());
  return writer;
}

}  // namespace

Result<QuantizeReport> quantize_file(const std::filesystem::path& in, const std::filesystem::path& out,
                                     FileType file_type, const QuantizeOptions& options,
                                     const QuantizeCallback& callback) {
  MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(in));
  std::error_code ignored;
  for (const gguf::File::Mapping& part : file.mappings()) {
    if (std::filesystem::equivalent(part.file.path(), out, ignored)) {
      return fail(ErrorCode::invalid_argument, "'{}' is the file to read; choose another one to write",
                  out.string());
    }
  }
  MULLAMA_ASSIGN(auto choices, choose_types(file, file_type));
  MULLAMA_TRY(settle_sources(file, options, choices));
  MULLAMA_ASSIGN(Converter converter, Converter::create(options));
  MULLAMA_ASSIGN(gguf::Writer writer, write_header(file, out, file_type, choices));

  QuantizeProgress progress;
  progress.tensors = choices.size();
  for (const TensorInfo& tensor : file.tensors()) progress.values += tensor.values();
  QuantizeReport report{file.file_bytes(), writer.file_bytes(), choices.size(), 0, 0};
  for (size_t i = 0; i < choices.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    progress.tensor = i;
    progress.name = tensor.name;
    progress.from = tensor.type;
    progress.to = choices[i].type;
    report.converted += progress.from != progress.to;
    report.fallbacks += choices[i].fallback;
    for (uint64_t first = 0; first < tensor.values(); first += kSlabValues) {
      if (callback && !callback(progress)) {
        return fail(ErrorCode::canceled, "quantizing '{}' was canceled", file.label());
      }
      const auto values = static_cast<size_t>(std::min<uint64_t>(kSlabValues, tensor.values() - first));
      MULLAMA_ASSIGN(const auto bytes, converter.convert(tensor, choices[i].type, first, values));
      MULLAMA_TRY(writer.write(bytes));
      progress.values_done += values;
    }
  }
  if (callback && !callback(progress))
    return fail(ErrorCode::canceled, "quantizing '{}' was canceled", file.label());
  MULLAMA_TRY(file.intact());
  MULLAMA_TRY(writer.finish());
  return report;
}

}  // namespace mullama::quant
