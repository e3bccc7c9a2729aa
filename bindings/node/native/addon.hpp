#pragma once

#include <atomic>
#include <memory>
#include <mullama/mullama.hpp>
#include <mutex>
#include <napi.h>
#include <optional>
#include <string>
#include <vector>

namespace mullama::node {

/// Of one JavaScript environment: the main thread's, or a worker's.
struct Instance {
  Napi::FunctionReference make_error;  // (message, code) -> Error, from the JavaScript side
  Napi::FunctionReference model_class;
};

/// A failure that crosses from a computing thread.
struct Failure {
  int code = 0;
  std::string message;
};
[[nodiscard]] Failure describe(const std::exception_ptr& thrown);
[[nodiscard]] Napi::Value to_error(Napi::Env env, const Failure& failure);

/// Runs `body`; what it throws becomes a JavaScript exception of our kinds.
template <class Body>
Napi::Value guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw Napi::Error(env, to_error(env, describe(std::current_exception())));
  }
}

/// Lines that the library wants to tell; JavaScript fetches them once its call is back.
class Warnings {
 public:
  void add(const std::string& line);
  [[nodiscard]] std::vector<std::string> take();

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// The JavaScript side fills in every field of these objects.
[[nodiscard]] ModelParams model_params(const Napi::Object& from);
[[nodiscard]] ContextParams context_params(const Napi::Object& from);
[[nodiscard]] SamplerParams sampler_params(const Napi::Object& from);
[[nodiscard]] GenerateOptions generate_options(const Napi::Object& from);
[[nodiscard]] std::vector<Token> tokens_from(const Napi::Value& from);
[[nodiscard]] Napi::Value to_js(Napi::Env env, const std::vector<Token>& tokens);
[[nodiscard]] Napi::Object to_js(Napi::Env env, const GenerateResult& result);
[[nodiscard]] Napi::Object to_js(Napi::Env env, const MemoryInfo& info);
[[nodiscard]] Napi::Value strings(Napi::Env env, const std::vector<std::string>& lines);

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit NativeModel(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  [[nodiscard]] const Model& get() const;
  [[nodiscard]] const std::shared_ptr<Warnings>& warnings() const { return warnings_; }
  /// Called once, after construction.
  void hold(Napi::Env env, Model model, std::shared_ptr<Warnings> warnings);

 private:
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value tokenize(const Napi::CallbackInfo& info);
  Napi::Value detokenize(const Napi::CallbackInfo& info);
  Napi::Value token_piece(const Napi::CallbackInfo& info);
  Napi::Value apply_chat_template(const Napi::CallbackInfo& info);
  Napi::Value is_end_of_generation(const Napi::CallbackInfo& info);
  Napi::Value properties(const Napi::CallbackInfo& info);
  Napi::Value metadata(const Napi::CallbackInfo& info);
  Napi::Value take_warnings(const Napi::CallbackInfo& info);
  void let_go(Napi::Env env);

  std::optional<Model> model_;
  std::shared_ptr<Warnings> warnings_;
  int64_t told_bytes_ = 0;
};

Napi::Value load_model(const Napi::CallbackInfo& info);
Napi::Function define_context(Napi::Env env);
Napi::Function define_sampler(Napi::Env env);

}  // namespace mullama::node
