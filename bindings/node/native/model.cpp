#include "addon.hpp"

namespace mullama::node {

namespace {

class LoadWorker : public Napi::AsyncWorker {
 public:
  LoadWorker(Napi::Env env, std::string path, ModelParams params)
      : AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        path_(std::move(path)),
        params_(std::move(params)),
        warnings_(std::make_shared<Warnings>()) {
    params_.on_warning = [warnings = warnings_](const std::string& line) { warnings->add(line); };
  }
  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      model_ = Model::load_with_params(path_, params_);
    } catch (...) {
      failure_ = describe(std::current_exception());
    }
  }

  void OnOK() override {
    const Napi::Env env = Env();
    if (failure_) {
      deferred_.Reject(to_error(env, *failure_));
      return;
    }
    const Napi::Object object = env.GetInstanceData<Instance>()->model_class.New({});
    NativeModel::Unwrap(object)->hold(env, std::move(*model_), warnings_);
    deferred_.Resolve(object);
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string path_;
  ModelParams params_;
  std::shared_ptr<Warnings> warnings_;
  std::optional<Model> model_;
  std::optional<Failure> failure_;
};

}  // namespace

Napi::Value load_model(const Napi::CallbackInfo& info) {
  auto* const worker =
      new LoadWorker(info.Env(), info[0].ToString().Utf8Value(), model_params(info[1].As<Napi::Object>()));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Function NativeModel::define(Napi::Env env) {
  return DefineClass(
      env, "NativeModel",
      {InstanceMethod("close", &NativeModel::close), InstanceMethod("tokenize", &NativeModel::tokenize),
       InstanceMethod("detokenize", &NativeModel::detokenize),
       InstanceMethod("tokenPiece", &NativeModel::token_piece),
       InstanceMethod("applyChatTemplate", &NativeModel::apply_chat_template),
       InstanceMethod("isEndOfGeneration", &NativeModel::is_end_of_generation),
       InstanceMethod("properties", &NativeModel::properties),
       InstanceMethod("metadata", &NativeModel::metadata),
       InstanceMethod("takeWarnings", &NativeModel::take_warnings)});
}

NativeModel::NativeModel(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

void NativeModel::hold(Napi::Env env, Model model, std::shared_ptr<Warnings> warnings) {
  model_ = std::move(model);
  warnings_ = std::move(warnings);
  // The collector weighs what an object holds outside its heap.
  told_bytes_ = static_cast<int64_t>(model_->size_bytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, told_bytes_);
}

void NativeModel::let_go(Napi::Env env) {
  if (!model_) return;
  model_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -told_bytes_);
}

void NativeModel::Finalize(Napi::Env env) {
  let_go(env);
}

const Model& NativeModel::get() const {
  if (!model_) throw MullamaError(StatusCode::invalid_argument, "the model is disposed");
  return *model_;
}

Napi::Value NativeModel::close(const Napi::CallbackInfo& info) {
  let_go(info.Env());
  return info.Env().Undefined();
}

Napi::Value NativeModel::tokenize(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string text = info[0].ToString();
    return to_js(info.Env(), get().tokenize(text, info[1].ToBoolean(), info[2].ToBoolean()));
  });
}

Napi::Value NativeModel::detokenize(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), get().detokenize(tokens_from(info[0]), info[1].ToBoolean()));
  });
}

Napi::Value NativeModel::token_piece(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string piece = get().token_piece(info[0].ToNumber(), info[1].ToBoolean());
    return Napi::Buffer<char>::Copy(info.Env(), piece.data(), piece.size());
  });
}

Napi::Value NativeModel::apply_chat_template(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), get().apply_chat_template(
                                             info[0].ToString().Utf8Value(), info[1].ToBoolean(),
                                             info[2].ToString().Utf8Value(), info[3].ToString().Utf8Value()));
  });
}

Napi::Value NativeModel::is_end_of_generation(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), get().is_end_of_generation(info[0].ToNumber()));
  });
}

Napi::Value NativeModel::properties(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const Model& model = get();
    const auto id = [&](std::optional<Token> token) -> Napi::Value {
      return token ? Napi::Number::New(env, *token).As<Napi::Value>() : env.Null();
    };
    Napi::Object out = Napi::Object::New(env);
    out.Set("architecture", model.architecture());
    out.Set("name", model.name());
    out.Set("vocabSize", model.vocab_size());
    out.Set("nLayer", model.n_layer());
    out.Set("nEmbd", model.n_embd());
    out.Set("nCtxTrain", model.n_ctx_train());
    out.Set("parameterCount", static_cast<double>(model.parameter_count()));
    out.Set("sizeBytes", static_cast<double>(model.size_bytes()));
    out.Set("bos", id(model.bos()));
    out.Set("eos", id(model.eos()));
    return out;
  });
}

Napi::Value NativeModel::metadata(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object out = Napi::Object::New(info.Env());
    for (const auto& [key, value] : get().all_metadata()) out.Set(key, value);
    return out;
  });
}

Napi::Value NativeModel::take_warnings(const Napi::CallbackInfo& info) {
  return strings(info.Env(), warnings_ ? warnings_->take() : std::vector<std::string>());
}

}  // namespace mullama::node
