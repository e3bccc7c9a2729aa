#include "server/ollama_json.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include "server/json_body.hpp"
#include "server/receipts.hpp"

namespace mullama::server::ollama {

namespace {

enum class OptionType : uint8_t { integer, number, flag, text };
struct KnownOption {
  std::string_view name;
  OptionType type;
};
// What has its effect elsewhere (num_ctx, num_predict, stop) or has none in this engine.
constexpr std::array kOtherOptions{
    KnownOption{"num_ctx", OptionType::integer},       KnownOption{"num_predict", OptionType::integer},
    KnownOption{"num_keep", OptionType::integer},      KnownOption{"num_batch", OptionType::integer},
    KnownOption{"num_gpu", OptionType::integer},       KnownOption{"main_gpu", OptionType::integer},
    KnownOption{"num_thread", OptionType::integer},    KnownOption{"use_mmap", OptionType::flag},
    KnownOption{"use_mlock", OptionType::flag},        KnownOption{"numa", OptionType::flag},
    KnownOption{"low_vram", OptionType::flag},         KnownOption{"f16_kv", OptionType::flag},
    KnownOption{"vocab_only", OptionType::flag},       KnownOption{"tfs_z", OptionType::number},
    KnownOption{"penalize_newline", OptionType::flag},
};

/// Whether a number is whole and small enough to be counted with exactly.
bool is_whole(double number) {
  return number >= -9e15 && number <= 9e15 && number == static_cast<double>(static_cast<int64_t>(number));
}

bool has_type(const Json& value, OptionType type) {
  switch (type) {
    case OptionType::integer:
      return value.is_number_integer() || (value.is_number_float() && is_whole(value.get<double>()));
    case OptionType::number:
      return value.is_number();
    case OptionType::flag:
      return value.is_boolean();
    case OptionType::text:
      return value.is_string();
  }
  return false;
}

std::string_view type_text(OptionType type) {
  constexpr std::array<std::string_view, 4> kNames{"integer", "float32", "boolean", "string"};
  return kNames[static_cast<size_t>(type)];
}

tl::unexpected<Error> wrong_type(std::string_view name, std::string_view type) {
  return fail(ErrorCode::invalid_argument, "option \"{}\" must be of type {}", name, type);
}

Result<std::vector<std::string>> texts(const Json& value, std::string_view name) {
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  std::vector<std::string> out;
  if (!value.is_array()) return wrong_type(name, "array");
  for (const Json& entry : value) {
    if (!entry.is_string()) return wrong_type(name, "array");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

Result<sampling::ParameterValue> parameter_value(const std::string& name, const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return wrong_type(name, "integer");
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) {
    // JavaScript writes whole numbers so, too.
    const auto number = value.get<double>();
    const sampling::ParameterInfo* info = sampling::find_parameter(name);
    if (is_whole(number) && info != nullptr && info->type == sampling::ParameterType::integer)
      return static_cast<int64_t>(number);
    return number;
  }
  if (value.is_string()) return value.get<std::string>();
  MULLAMA_ASSIGN(auto list, texts(value, name));
  return list;
}

/// The object `options`, or null.
Result<const Json*> options_of(const Json& body) {
  const auto found = body.find("options");
  if (found == body.end() || found->is_null()) return nullptr;
  if (!found->is_object()) return fail(ErrorCode::invalid_argument, "options must be an object");
  return &*found;
}

std::string time_text(std::time_t seconds, int64_t nanoseconds) {
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, nanoseconds);
}

Status read_format(const Json& body, OutputFormat& format) {
  const auto found = body.find("format");
  if (found == body.end() || found->is_null() || *found == "") return {};
  if (*found == "json") {
    format.kind = OutputFormat::Kind::json;
  } else if (found->is_object()) {
    format.kind = OutputFormat::Kind::schema;
    format.schema = *found;
  } else {
    return fail(ErrorCode::invalid_argument, "invalid format: {}; it is \"json\" or a JSON Schema",
                found->dump());
  }
  return {};
}

Status read_think(const Json& body, std::optional<Think>& think) {
  const auto found = body.find("think");
  if (found == body.end() || found->is_null()) return {};
  if (found->is_boolean()) {
    think = Think{found->get<bool>(), ""};
  } else if (*found == "low" || *found == "medium" || *found == "high") {
    think = Think{true, found->get<std::string>()};
  } else {
    return fail(ErrorCode::invalid_argument,
                "invalid think value: {} (must be \"high\", \"medium\", \"low\", true, or false)",
                found->dump());
  }
  return {};
}

}  // namespace

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto count = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  return time_text(static_cast<std::time_t>(count / 1'000'000'000), count % 1'000'000'000);
}

std::string now_text() {
  return time_text(std::chrono::system_clock::now());
}

std::string time_text(std::filesystem::file_time_type time) {
  const auto moved = time - std::filesystem::file_time_type::clock::now();
  return time_text(std::chrono::system_clock::now() +
                   std::chrono::duration_cast<std::chrono::system_clock::duration>(moved));
}

int64_t nanoseconds(double seconds) {
  return std::max<int64_t>(1, static_cast<int64_t>(seconds * 1e9));
}

Json details(const store::ModelSummary& summary) {
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", summary.architecture},
          {"families", Json::array({summary.architecture})},
          {"parameter_size", store::format_parameters(summary.parameters)},
          {"quantization_level", summary.quantization}};
}

Result<std::string> model_name(const Json& body) {
  MULLAMA_ASSIGN(auto model, text_member(body, "model"));
  if (!model || model->empty()) {
    MULLAMA_ASSIGN(model, text_member(body, "name"));
  }
  if (!model || model->empty()) return fail(ErrorCode::invalid_argument, "model is required");
  return *model;
}

Result<bool> wants_stream(const Json& body) {
  MULLAMA_ASSIGN(const auto stream, flag_member(body, "stream"));
  return stream.value_or(true);
}

Result<std::optional<KeepAlive>> keep_alive(const Json& body) {
  const auto found = body.find("keep_alive");
  if (found == body.end() || found->is_null()) return std::nullopt;
  MULLAMA_ASSIGN(const KeepAlive value, KeepAlive::from_json(*found));
  return value;
}

sampling::SamplerParams default_sampler() {
  sampling::SamplerParams params;
  params.top_p = 0.9f;
  params.min_p = 0;
  return params;
}

Result<std::optional<uint32_t>> context_option(const Json& body) {
  MULLAMA_ASSIGN(const Json* options, options_of(body));
  if (options == nullptr || !options->contains("num_ctx") || (*options)["num_ctx"].is_null())
    return std::nullopt;
  if (!has_type((*options)["num_ctx"], OptionType::integer)) return wrong_type("num_ctx", "integer");
  MULLAMA_ASSIGN(const auto number, integer_member(*options, "num_ctx", INT32_MIN, INT32_MAX));
  if (number.value_or(0) <= 0) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

Status read_options(const Json& body, GenerationRequest& request) {
  MULLAMA_ASSIGN(const Json* options, options_of(body));
  if (options == nullptr) return {};
  MULLAMA_ASSIGN(request.num_ctx, context_option(body));
  for (const auto& [name, value] : options->items()) {
    if (value.is_null()) continue;
    const auto other = std::ranges::find(kOtherOptions, name, &KnownOption::name);
    if (other != kOtherOptions.end()) {
      if (!has_type(value, other->type)) return wrong_type(name, type_text(other->type));
      if (name == "num_predict") {
        MULLAMA_ASSIGN(const auto number, integer_member(*options, name, INT32_MIN, INT32_MAX));
        request.max_tokens = static_cast<int32_t>(std::max<int64_t>(*number, -1));
      } else if (name == "num_keep") {
        MULLAMA_ASSIGN(const auto number, integer_member(*options, name, -1, INT32_MAX));
        // -1 is the whole prompt, as far as there is room for it.
        request.num_keep = *number < 0 ? UINT32_MAX : static_cast<uint32_t>(*number);
      }
    } else if (name == "stop") {
      MULLAMA_ASSIGN(request.stop, texts(value, name));
    } else if (sampling::find_parameter(name) != nullptr) {
      MULLAMA_ASSIGN(auto parameter, parameter_value(name, value));
      sampling::SamplerParams probe;
      MULLAMA_TRY(sampling::set(probe, name, parameter));
      request.options.emplace_back(name, std::move(parameter));
    } else if (request.unknown_options.size() < GenerationRequest::kNamedUnknownOptions) {
      request.unknown_options.push_back(name.substr(0, GenerationRequest::kNamedOptionBytes));
    }
  }
  return {};
}

Status read_common(const Json& body, GenerationRequest& request) {
  request.sampler = default_sampler();
  MULLAMA_TRY(read_options(body, request));
  MULLAMA_ASSIGN(request.keep_alive, keep_alive(body));
  MULLAMA_TRY(read_format(body, request.format));
  MULLAMA_TRY(read_think(body, request.think));
  MULLAMA_ASSIGN(const auto truncate, flag_member(body, "truncate"));
  MULLAMA_ASSIGN(const auto shift, flag_member(body, "shift"));
  request.truncate = truncate.value_or(false);
  request.shift = shift.value_or(false);
  MULLAMA_ASSIGN(const auto wanted, flag_member(body, "logprobs"));
  MULLAMA_ASSIGN(const auto top, integer_member(body, "top_logprobs", INT32_MIN, INT32_MAX));
  if (top && (*top < 0 || *top > 20))
    return fail(ErrorCode::invalid_argument, "top_logprobs must be between 0 and 20");
  if (wanted.value_or(false)) request.top_logprobs = static_cast<int32_t>(top.value_or(0));
  return {};
}

Json log_probs(const std::vector<ChosenToken>& tokens) {
  const auto describe = [](const TokenLogProb& token) {
    Json bytes = Json::array();
    for (const char c : token.text) bytes.push_back(static_cast<unsigned char>(c));
    return Json{{"token", token.text}, {"logprob", token.log_prob}, {"bytes", std::move(bytes)}};
  };
  Json out = Json::array();
  for (const ChosenToken& token : tokens) {
    Json entry = describe(token.chosen);
    if (!token.top.empty()) {
      entry["top_logprobs"] = Json::array();
      for (const TokenLogProb& other : token.top) entry["top_logprobs"].push_back(describe(other));
    }
    out.push_back(std::move(entry));
  }
  return out;
}

std::string_view done_reason(engine::FinishReason reason) {
  return reason == engine::FinishReason::stop ? "stop" : "length";
}

void add_metrics(Json& reply, const Summary& summary) {
  reply["total_duration"] = nanoseconds(summary.total_seconds);
  reply["load_duration"] = nanoseconds(summary.load_seconds);
  reply["prompt_eval_count"] = summary.prompt_tokens;
  reply["prompt_eval_duration"] = nanoseconds(summary.prompt_seconds);
  reply["eval_count"] = summary.generated;
  reply["eval_duration"] = nanoseconds(summary.generate_seconds);
  Json receipt = receipt_json(summary.receipt);
  receipt["prefix_tokens_reused"] = summary.prompt_reused;
  receipt["queue_duration"] = nanoseconds(summary.queue_seconds);
  receipt["seed"] = summary.seed;
  reply["receipt"] = std::move(receipt);
}

}  // namespace mullama::server::ollama
