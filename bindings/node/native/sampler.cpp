#include "addon.hpp"

namespace mullama::node {

namespace {

class NativeSampler : public Napi::ObjectWrap<NativeSampler> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeSampler",
        {InstanceMethod("close", &NativeSampler::close), InstanceMethod("sample", &NativeSampler::sample),
         InstanceMethod("accept", &NativeSampler::accept), InstanceMethod("reset", &NativeSampler::reset)});
  }

  explicit NativeSampler(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    guarded(info.Env(), [&] {
      chain_.emplace(NativeModel::Unwrap(info[0].As<Napi::Object>())->get(),
                     sampler_params(info[1].As<Napi::Object>()));
      return info.Env().Undefined();
    });
  }

 private:
  SamplerChain& get() {
    if (!chain_) throw MullamaError(StatusCode::invalid_argument, "the sampler chain is disposed");
    return *chain_;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    chain_.reset();
    return info.Env().Undefined();
  }
  Napi::Value sample(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto logits = info[0].As<Napi::Float32Array>();
      return Napi::Number::New(info.Env(), get().sample({logits.Data(), logits.ElementLength()}));
    });
  }
  Napi::Value accept(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      get().accept(info[0].ToNumber());
      return info.Env().Undefined();
    });
  }
  Napi::Value reset(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      get().reset();
      return info.Env().Undefined();
    });
  }

  std::optional<SamplerChain> chain_;
};

}  // namespace

Napi::Function define_sampler(Napi::Env env) {
  return NativeSampler::define(env);
}

}  // namespace mullama::node
