#include "addon.hpp"

namespace mullama::node {

namespace {

Napi::Value set_budget(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    set_memory_budget(info[0].ToString().Utf8Value());
    return info.Env().Undefined();
  });
}

Napi::Value plan_json(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), plan(info[0].ToString(), model_params(info[1].As<Napi::Object>()),
                                              context_params(info[2].As<Napi::Object>()))
                                             .to_json());
  });
}

Napi::Value live(const Napi::CallbackInfo& info) {
  const LiveObjects objects = live_objects();
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("models", static_cast<double>(objects.models));
  out.Set("contexts", static_cast<double>(objects.contexts));
  out.Set("batches", static_cast<double>(objects.batches));
  out.Set("samplers", static_cast<double>(objects.samplers));
  out.Set("streams", static_cast<double>(objects.streams));
  return out;
}

Napi::Value on_error(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<Instance>()->make_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* const instance = new Instance;
  env.SetInstanceData(instance);
  instance->model_class = Napi::Persistent(NativeModel::define(env));
  exports.Set("NativeContext", define_context(env));
  exports.Set("NativeSampler", define_sampler(env));
  exports.Set("loadModel", Napi::Function::New(env, load_model));
  exports.Set("setMemoryBudget", Napi::Function::New(env, set_budget));
  exports.Set("plan", Napi::Function::New(env, plan_json));
  exports.Set("liveObjects", Napi::Function::New(env, live));
  exports.Set("onError", Napi::Function::New(env, on_error));
  exports.Set("version", Napi::String::New(env, std::string(version())));
  return exports;
}

}  // namespace

}  // namespace mullama::node

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return mullama::node::init(env, exports);
}
NODE_API_MODULE(mullama, init_addon)
