#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "mullama/mullama.h"
#include "mullama/mullama.hpp"

/// Replays tests/scenario.json through the C++ or the C interface: scenario cpp|c SCENARIO MODEL.

namespace {

using nlohmann::json;

std::string hex(std::string_view text) {
  std::string out;
  char digits[3];
  for (const char c : text) {
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += digits;
  }
  return out;
}

template <class Tokens>
std::string join(const Tokens& tokens) {
  std::string out;
  for (const auto token : tokens) out += (out.empty() ? "" : ",") + std::to_string(token);
  return out;
}

std::string prompt_of(const json& step) {
  std::string out;
  for (int i = 0; i < step.value("repeat", 1); ++i) out += step["prompt"].get<std::string>();
  return out;
}

std::string status_name(int code) {
  constexpr const char* names[] = {
      "ok",       "invalid_argument", "not_found",     "corrupt_file",      "unsupported",
      "io",       "budget_exceeded",  "out_of_memory", "gpu_out_of_memory", "context_full",
      "canceled", "permission",       "unavailable",   "download",          "timeout",
      "internal"};
  return names[code];
}

/// A failure of either interface.
struct Failure {
  int code;
  std::string message;
};

/// One interface; each function tells the line of its step.
struct Interface {
  virtual ~Interface() = default;
  virtual std::string plan(const std::string& path, const json& step) = 0;
  virtual std::string load(const std::string& path) = 0;
  virtual std::string context(const json& step) = 0;
  virtual std::string generate(const json& step) = 0;
  virtual std::string stream(const json& step) = 0;
  virtual std::string chat(const json& step) = 0;
  virtual std::string memory() = 0;
  virtual std::string clear() = 0;
  virtual std::string budget(const std::string& budget) = 0;
};

std::string plan_line(const std::string& text) {
  const json plan = json::parse(text);
  std::uint64_t kv = 0;
  for (const json& row : plan["rows"]) {
    if (row["pool"] == "kv") kv += row["bytes"].get<std::uint64_t>();
  }
  return "context_size=" + std::to_string(plan["context_size"].get<std::uint64_t>()) +
         " key_type=" + plan["key_type"].get<std::string>() +
         " total=" + std::to_string(plan["total"].get<std::uint64_t>()) + " kv=" + std::to_string(kv) +
         " fits=" + (plan["fits"].get<bool>() ? "true" : "false");
}

class Cpp : public Interface {
 public:
  std::string plan(const std::string& path, const json& step) override {
    return plan_line(mullama::plan(path, {}, params(step)).to_json());
  }
  std::string load(const std::string& path) override {
    model_ = mullama::Model::load(path);
    return "architecture=" + model_->architecture() + " vocab_size=" + std::to_string(model_->vocab_size()) +
           " n_layer=" + std::to_string(model_->n_layer()) +
           " size_bytes=" + std::to_string(model_->size_bytes());
  }
  std::string context(const json& step) override {
    mullama::Context made(*model_, params(step));
    context_.reset();
    context_.emplace(std::move(made));
    return "context_size=" + std::to_string(context_->context_size());
  }
  std::string generate(const json& step) override {
    return line(context_->generate(prompt_of(step), options(step)));
  }
  std::string chat(const json& step) override {
    return line(context_->chat(step["messages"].dump(), options(step)));
  }
  std::string stream(const json& step) override {
    std::string pieces;
    mullama::TokenStream stream = context_->stream(prompt_of(step), options(step));
    int left = step.value("take", -1);
    while (left != 0) {
      const auto piece = stream.next();
      if (!piece) break;
      pieces += hex(piece->text) + "|";
      --left;
    }
    stream.stop();
    return "pieces=" + pieces + " " + line(stream.result());
  }
  std::string memory() override {
    const mullama::MemoryInfo info = context_->memory_info();
    return "token_count=" + std::to_string(info.token_count) +
           " context_size=" + std::to_string(info.context_size) +
           " model_size=" + std::to_string(info.model_size) +
           " kv_cache_size=" + std::to_string(info.kv_cache_size) +
           " total_allocated=" + std::to_string(info.total_allocated) +
           " kv_cache_used=" + std::to_string(info.kv_cache_used) +
           " key_type=" + std::string(mullama::to_string(info.key_type));
  }
  std::string clear() override {
    context_->clear();
    return "token_count=" + std::to_string(context_->token_count());
  }
  std::string budget(const std::string& budget) override {
    mullama::set_memory_budget(budget);
    return "set";
  }

 private:
  static mullama::ContextParams params(const json& step) {
    mullama::ContextParams params;
    params.n_ctx = step["n_ctx"];
    params.n_batch = step.value("n_batch", 512u);
    params.kv_cache_type = mullama::kv_cache_type_from_string(step["kv_cache_type"].get<std::string>());
    return params;
  }
  static mullama::GenerateOptions options(const json& step) {
    mullama::GenerateOptions options;
    options.max_tokens = step["max_tokens"];
    options.ignore_end_of_generation = true;
    options.sampler.temperature = step.value("temperature", 0.0f);
    if (step.contains("seed")) options.sampler.seed = step["seed"].get<std::uint64_t>();
    return options;
  }
  [[nodiscard]] std::string line(const mullama::GenerateResult& result) const {
    return "text=" + hex(result.text) + " tokens=" + join(result.tokens) +
           " finish=" + std::string(mullama::to_string(result.finish_reason)) +
           " prompt_tokens=" + std::to_string(result.prompt_tokens) +
           " prompt_evaluated=" + std::to_string(result.prompt_evaluated) +
           " token_count=" + std::to_string(context_->token_count());
  }

  std::optional<mullama::Model> model_;
  std::optional<mullama::Context> context_;
};

void check(mullama_status status) {
  if (status != MULLAMA_OK) throw Failure{static_cast<int>(status), mullama_last_error()};
}

class C : public Interface {
 public:
  ~C() override {
    mullama_context_free(context_);
    mullama_model_free(model_);
  }
  std::string plan(const std::string& path, const json& step) override {
    const mullama_context_params shape = params(step);
    char* text = nullptr;
    check(mullama_plan(path.c_str(), nullptr, &shape, &text));
    const std::string line = plan_line(text);
    mullama_string_free(text);
    return line;
  }
  std::string load(const std::string& path) override {
    mullama_model* model = nullptr;
    check(mullama_model_load(path.c_str(), nullptr, &model));
    mullama_model_free(model_);
    model_ = model;
    char* architecture = mullama_model_architecture(model);
    std::string line = "architecture=" + std::string(architecture) +
                       " vocab_size=" + std::to_string(mullama_model_vocab_size(model)) +
                       " n_layer=" + std::to_string(mullama_model_n_layer(model)) +
                       " size_bytes=" + std::to_string(mullama_model_size_bytes(model));
    mullama_string_free(architecture);
    return line;
  }
  std::string context(const json& step) override {
    const mullama_context_params shape = params(step);
    mullama_context* context = nullptr;
    check(mullama_context_create(model_, &shape, &context));
    mullama_context_free(context_);
    context_ = context;
    return "context_size=" + std::to_string(mullama_context_size(context));
  }
  std::string generate(const json& step) override {
    const std::string prompt = prompt_of(step);
    const mullama_sampler_params sampler = sampler_params(step);
    const mullama_generate_params how = options(step, &sampler);
    mullama_result result;
    mullama_result_init(&result, sizeof(result));
    check(mullama_generate(context_, prompt.data(), prompt.size(), &how, nullptr, nullptr, &result));
    return line(result);
  }
  std::string chat(const json& step) override {
    const std::string messages = step["messages"].dump();
    const mullama_sampler_params sampler = sampler_params(step);
    const mullama_generate_params how = options(step, &sampler);
    mullama_result result;
    mullama_result_init(&result, sizeof(result));
    check(mullama_chat(context_, messages.c_str(), &how, nullptr, nullptr, &result));
    return line(result);
  }
  std::string stream(const json& step) override {
    const std::string prompt = prompt_of(step);
    const mullama_sampler_params sampler = sampler_params(step);
    const mullama_generate_params how = options(step, &sampler);
    mullama_stream* stream = nullptr;
    check(mullama_stream_create(context_, prompt.data(), prompt.size(), &how, &stream));
    std::string pieces;
    int left = step.value("take", -1);
    while (left != 0) {
      mullama_stream_token piece;
      mullama_stream_token_init(&piece, sizeof(piece));
      bool more = false;
      check(mullama_stream_next(stream, &piece, &more));
      if (!more) break;
      pieces += hex({piece.text, piece.text_size}) + "|";
      --left;
    }
    check(mullama_stream_stop(stream));
    mullama_result result;
    mullama_result_init(&result, sizeof(result));
    check(mullama_stream_result(stream, &result));
    mullama_stream_free(stream);
    return "pieces=" + pieces + " " + line(result);
  }
  std::string memory() override {
    mullama_memory_info info;
    mullama_memory_info_init(&info, sizeof(info));
    check(mullama_context_memory_info(context_, &info));
    return "token_count=" + std::to_string(info.token_count) +
           " context_size=" + std::to_string(info.context_size) +
           " model_size=" + std::to_string(info.model_size) +
           " kv_cache_size=" + std::to_string(info.kv_cache_size) +
           " total_allocated=" + std::to_string(info.total_allocated) +
           " kv_cache_used=" + std::to_string(info.kv_cache_used) +
           " key_type=" + std::string(mullama_kv_cache_type_name(info.key_type));
  }
  std::string clear() override {
    check(mullama_context_clear(context_));
    return "token_count=" + std::to_string(mullama_context_token_count(context_));
  }
  std::string budget(const std::string& budget) override {
    check(mullama_set_memory_budget(budget.c_str()));
    return "set";
  }

 private:
  static mullama_context_params params(const json& step) {
    mullama_context_params params;
    mullama_context_params_init(&params, sizeof(params));
    params.n_ctx = step["n_ctx"];
    params.n_batch = step.value("n_batch", 512u);
    check(mullama_kv_cache_type_from_name(step["kv_cache_type"].get<std::string>().c_str(),
                                          &params.kv_cache_type));
    return params;
  }
  static mullama_sampler_params sampler_params(const json& step) {
    mullama_sampler_params params;
    mullama_sampler_params_init(&params, sizeof(params));
    params.temperature = step.value("temperature", 0.0f);
    params.has_seed = step.contains("seed");
    params.seed = step.value("seed", std::uint64_t{0});
    return params;
  }
  static mullama_generate_params options(const json& step, const mullama_sampler_params* sampler) {
    mullama_generate_params options;
    mullama_generate_params_init(&options, sizeof(options));
    options.max_tokens = step["max_tokens"];
    options.ignore_end_of_generation = true;
    options.sampler = sampler;
    return options;
  }
  /// The line of a result, which is freed.
  std::string line(mullama_result& result) const {
    constexpr const char* finishes[] = {"stop", "length", "canceled", "context_full"};
    std::string out = "text=" + hex({result.text, result.text_size}) + " tokens=" +
                      join(std::vector<mullama_token>(result.tokens, result.tokens + result.n_tokens)) +
                      " finish=" + finishes[result.finish_reason] +
                      " prompt_tokens=" + std::to_string(result.prompt_tokens) +
                      " prompt_evaluated=" + std::to_string(result.prompt_evaluated) +
                      " token_count=" + std::to_string(mullama_context_token_count(context_));
    mullama_result_free(&result);
    return out;
  }

  mullama_model* model_ = nullptr;
  mullama_context* context_ = nullptr;
};

std::string tell(Interface& with, const json& step, const std::string& model) {
  const std::string op = step["op"];
  if (op == "plan") return with.plan(model, step);
  if (op == "load") return with.load(step.value("path", model));
  if (op == "context") return with.context(step);
  if (op == "generate") return with.generate(step);
  if (op == "stream") return with.stream(step);
  if (op == "chat") return with.chat(step);
  if (op == "memory") return with.memory();
  if (op == "clear") return with.clear();
  if (op == "budget") return with.budget(step["budget"]);
  throw std::runtime_error("unknown step " + op);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream file(argv[2]);
  const json scenario = json::parse(file);
  Cpp cpp;
  C c;
  Interface& with = std::string(argv[1]) == "c" ? static_cast<Interface&>(c) : cpp;
  for (const json& step : scenario["steps"]) {
    std::string line;
    try {
      line = tell(with, step, argv[3]);
    } catch (const mullama::MullamaError& error) {
      line = "error=" + status_name(static_cast<int>(error.code())) + " message=" + hex(error.what());
    } catch (const Failure& failure) {
      line = "error=" + status_name(failure.code) + " message=" + hex(failure.message);
    }
    std::cout << step["op"].get<std::string>() << " " << line << "\n";
  }
  return 0;
}
