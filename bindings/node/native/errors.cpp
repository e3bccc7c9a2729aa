#include "addon.hpp"

namespace mullama::node {

Failure describe(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const MullamaError& error) {
    return {static_cast<int>(error.code()), error.what()};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(StatusCode::out_of_memory), "out of memory: insufficient memory"};
  } catch (const std::exception& error) {
    return {static_cast<int>(StatusCode::internal), error.what()};
  }
}

Napi::Value to_error(Napi::Env env, const Failure& failure) {
  return env.GetInstanceData<Instance>()->make_error.Call(
      {Napi::String::New(env, failure.message), Napi::Number::New(env, failure.code)});
}

void Warnings::add(const std::string& line) {
  const std::lock_guard lock(mutex_);
  lines_.push_back(line);
}

std::vector<std::string> Warnings::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

}  // namespace mullama::node
