#include "cli/statistics.hpp"

#include "base/byte_size.hpp"
#include "cli/format.hpp"
#include "engine/memory_report.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;

double rate(std::uint32_t tokens, double seconds) {
  return seconds > 0 ? tokens / seconds : 0;
}
int64_t nanoseconds(double seconds) {
  return static_cast<int64_t>(seconds * 1e9);
}

/// The share that the guide tells users to keep in reserve.
uint64_t with_reserve(uint64_t bytes) {
  return bytes + bytes / 5;
}

std::string kv_types(const MemoryInfo& memory) {
  const std::string keys(to_string(memory.key_type));
  const std::string values(to_string(memory.value_type));
  return keys == values ? keys : keys + " keys, " + values + " values";
}

std::string lock_state(const ModelParams& params, const MemoryInfo& memory) {
  if (!params.use_mlock) return "off";
  return fmt::format("{}, {} of {} locked", params.mlock_required ? "required" : "on",
                     format_bytes(memory.lock_achieved), format_bytes(memory.lock_asked));
}

/// The whole process, or why that cannot be told.
std::string process_text() {
  const auto report = engine::measure_memory(memory::Ledger::process());
  return report ? engine::to_text(*report) : fmt::format("{}\n", report.error().message);
}

json process_json() {
  const auto report = engine::measure_memory(memory::Ledger::process());
  return report ? engine::to_json(*report) : json{{"error", report.error().message}};
}

}  // namespace

std::string label_line(std::string_view label, const std::string& value) {
  return fmt::format("{:<22}{}\n", label, value);
}

std::string timing_text(const GenerateResult& result, double load_seconds, double total_seconds) {
  std::string out;
  const auto line = [&](std::string_view label, const std::string& value) {
    out += label_line(label, value);
  };
  line("total duration:", short_duration(load_seconds + total_seconds));
  line("load duration:", short_duration(load_seconds));
  line("prompt eval count:", fmt::format("{} token(s)", result.prompt_evaluated));
  line("prompt eval duration:", short_duration(result.prompt_seconds));
  line("prompt eval rate:",
       fmt::format("{:.2f} tokens/s", rate(result.prompt_evaluated, result.prompt_seconds)));
  line("eval count:", fmt::format("{} token(s)", result.generated_tokens));
  line("eval duration:", short_duration(result.generate_seconds));
  line("eval rate:", fmt::format("{:.2f} tokens/s", rate(result.generated_tokens, result.generate_seconds)));
  if (result.drafted_tokens > 0) {
    line("lookup:",
         fmt::format("{} of {} drafted token(s) accepted ({:.0f} %)", result.accepted_tokens,
                     result.drafted_tokens, 100.0 * result.accepted_tokens / result.drafted_tokens));
  }
  line("seed:", fmt::format("{}", result.seed));
  return out;
}

std::string receipt_text(const Receipt& receipt) {
  return fmt::format("KV {}, scratch {}, reused {}, {} pages evicted, {} tokens cut",
                     format_bytes(receipt.kv_bytes), format_bytes(receipt.peak_scratch),
                     format_bytes(receipt.prefix_bytes_reused), receipt.pages_evicted, receipt.tokens_cut);
}

json answer_fields(const Answer& answer, const std::string& model, double load_seconds) {
  const GenerateResult& result = answer.result;
  json document = {{"model", model},
                   {"response", answer.content},
                   {"done", true},
                   {"done_reason", to_string(result.finish_reason)},
                   {"total_duration", nanoseconds(load_seconds + answer.total_seconds)},
                   {"load_duration", nanoseconds(load_seconds)},
                   {"prompt_tokens", result.prompt_tokens},
                   {"prompt_eval_count", result.prompt_evaluated},
                   {"prompt_eval_duration", nanoseconds(result.prompt_seconds)},
                   {"eval_count", result.generated_tokens},
                   {"eval_duration", nanoseconds(result.generate_seconds)},
                   {"drafted", result.drafted_tokens},
                   {"accepted", result.accepted_tokens},
                   {"seed", result.seed},
                   {"receipt",
                    {{"kv_bytes", result.receipt.kv_bytes},
                     {"peak_scratch", result.receipt.peak_scratch},
                     {"prefix_bytes_reused", result.receipt.prefix_bytes_reused},
                     {"pages_evicted", result.receipt.pages_evicted},
                     {"tokens_cut", result.receipt.tokens_cut},
                     {"context_growths", result.receipt.context_growths},
                     {"kv_demotions", result.receipt.kv_demotions}}}};
  if (!answer.thinking.empty()) document["thinking"] = answer.thinking;
  return document;
}

std::string statistics_text(const LocalSession& session, const Answer& answer) {
  const MemoryInfo memory = session.memory_info();
  const ModelParams& model = session.params().model;
  std::string out = timing_text(answer.result, session.load_seconds(), answer.total_seconds) + "\n";
  const auto line = [&](std::string_view label, const std::string& value) {
    out += label_line(label, value);
  };
  line("model size:", format_bytes(memory.model_size));
  line("KV cache:", fmt::format("{} ({}), {} in use", format_bytes(memory.kv_cache_size), kv_types(memory),
                                format_bytes(memory.kv_cache_used)));
  line("context used:", fmt::format("{}/{} tokens", memory.token_count, memory.context_size));
  line("batch size:", fmt::format("{} tokens", session.params().context.n_batch));
  line("compute buffer:", format_bytes(memory.scratch_size + memory.output_size));
  line("total allocated:", format_bytes(memory.total_allocated));
  line("recommended free:",
       fmt::format("{} (20 % more)", format_bytes(with_reserve(memory.total_allocated))));
  line("GPU layers:", "0");
  line("mmap:", model.use_mmap ? "on" : "off");
  line("mlock:", lock_state(model, memory));
  line("this request:", receipt_text(answer.result.receipt));
  if (session.params().context.grow) {
    const Receipt& receipt = answer.result.receipt;
    line("context grown:",
         fmt::format("{} time(s), {} with a smaller KV type", receipt.context_growths, receipt.kv_demotions));
  }
  return out + "\n" + process_text();
}

json answer_json(const LocalSession& session, const Answer& answer) {
  const MemoryInfo memory = session.memory_info();
  json document = answer_fields(answer, session.stored().name, session.load_seconds());
  document["memory"] = {{"model_size", memory.model_size},
                        {"kv_cache_size", memory.kv_cache_size},
                        {"kv_cache_used", memory.kv_cache_used},
                        {"key_type", to_string(memory.key_type)},
                        {"value_type", to_string(memory.value_type)},
                        {"token_count", memory.token_count},
                        {"context_size", memory.context_size},
                        {"scratch_size", memory.scratch_size},
                        {"output_size", memory.output_size},
                        {"tokenizer_size", memory.tokenizer_size},
                        {"total_allocated", memory.total_allocated},
                        {"lock_asked", memory.lock_asked},
                        {"lock_achieved", memory.lock_achieved}};
  document["process"] = process_json();
  return document;
}

}  // namespace mullama::cli
