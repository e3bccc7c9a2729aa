#include <algorithm>
#include <functional>

#include "addon.hpp"

namespace mullama::node {

namespace {

/// What a context's object and the work under way on other threads share. Only the thread of JavaScript reads
/// and writes `busy` and `closed`; while `busy`, the work owns the stream.
struct Shared {
  std::shared_ptr<Context> context;
  std::optional<TokenStream> stream;
  bool busy = false;
  bool closed = false;
  std::atomic<bool> cancel_requested{false};  // also heard by work that has not begun yet

  /// Takes one piece, or ends the answer if it is no longer wanted.
  std::optional<StreamToken> next() {
    if (cancel_requested.load()) stream->stop();
    return stream->next();
  }

  void let_go() {
    stream.reset();
    context.reset();
  }
};

using Prompt = std::function<TokenStream(Context&)>;

class ContextWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<void(Shared&)>;
  using Answer = std::function<Napi::Value(Napi::Env)>;

  /// `work` runs elsewhere; `answer` then makes the promise's value. `holder` is kept from the collector
  /// meanwhile.
  ContextWorker(Napi::Env env, Napi::Object holder, std::shared_ptr<Shared> shared, Work work, Answer answer)
      : AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        holder_(Napi::Persistent(holder)),
        shared_(std::move(shared)),
        work_(std::move(work)),
        answer_(std::move(answer)) {
    shared_->busy = true;
    shared_->cancel_requested = false;
  }
  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      work_(*shared_);
    } catch (...) {
      failure_ = describe(std::current_exception());
      shared_->stream.reset();
    }
  }

  void OnOK() override {
    const Napi::Env env = Env();
    shared_->busy = false;
    if (shared_->closed) shared_->let_go();
    if (failure_) {
      deferred_.Reject(to_error(env, *failure_));
    } else {
      deferred_.Resolve(answer_(env));
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference holder_;
  std::shared_ptr<Shared> shared_;
  Work work_;
  Answer answer_;
  std::optional<Failure> failure_;
};

class NativeContext : public Napi::ObjectWrap<NativeContext> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeContext",
        {InstanceMethod("close", &NativeContext::close), InstanceMethod("generate", &NativeContext::generate),
         InstanceMethod("start", &NativeContext::start), InstanceMethod("next", &NativeContext::next),
         InstanceMethod("stop", &NativeContext::stop), InstanceMethod("evaluate", &NativeContext::evaluate),
         InstanceMethod("embed", &NativeContext::embed), InstanceMethod("clear", &NativeContext::clear),
         InstanceMethod("releaseIdle", &NativeContext::release_idle),
         InstanceMethod("cancel", &NativeContext::cancel),
         InstanceMethod("memoryInfo", &NativeContext::memory_info),
         InstanceMethod("tokenCount", &NativeContext::token_count),
         InstanceMethod("contextSize", &NativeContext::context_size),
         InstanceMethod("isClosed", &NativeContext::is_closed),
         InstanceMethod("takeWarnings", &NativeContext::take_warnings)});
  }

  explicit NativeContext(const Napi::CallbackInfo& info)
      : ObjectWrap(info), shared_(std::make_shared<Shared>()) {
    guarded(info.Env(), [&]() -> Napi::Value {
      NativeModel* const model = NativeModel::Unwrap(info[0].As<Napi::Object>());
      warnings_ = model->warnings();
      shared_->context = std::make_shared<Context>(model->get(), context_params(info[1].As<Napi::Object>()));
      const MemoryInfo memory = shared_->context->memory_info();
      told_bytes_ = static_cast<int64_t>(memory.kv_cache_size + memory.output_size);
      Napi::MemoryManagement::AdjustExternalMemory(info.Env(), told_bytes_);
      return info.Env().Undefined();
    });
  }

  void Finalize(Napi::Env env) override { let_go(env); }

 private:
  Context& get() const {
    if (shared_->closed) throw MullamaError(StatusCode::invalid_argument, "the context is disposed");
    return *shared_->context;
  }

  Context& get_idle() const {
    Context& context = get();
    if (shared_->busy) {
      throw MullamaError(StatusCode::invalid_argument,
                         "the context is generating: await its answer before it is asked again");
    }
    return context;
  }

  void let_go(Napi::Env env) {
    if (shared_->closed || !shared_->context) return;
    shared_->closed = true;
    Napi::MemoryManagement::AdjustExternalMemory(env, -told_bytes_);
    // Work under way ends soon and then lets go itself.
    if (shared_->busy) {
      shared_->cancel_requested = true;
      shared_->context->cancel();
    } else {
      shared_->let_go();
    }
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    let_go(info.Env());
    return info.Env().Undefined();
  }

  Napi::Value queue(const Napi::CallbackInfo& info, ContextWorker::Work work, ContextWorker::Answer answer) {
    auto* const worker = new ContextWorker(info.Env(), info.This().As<Napi::Object>(), shared_,
                                           std::move(work), std::move(answer));
    const Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  }

  /// (kind, prompt, options): "text" with a string, "tokens" with ids, "chat" with JSON.
  static Prompt prompt_of(const Napi::CallbackInfo& info) {
    const std::string kind = info[0].ToString();
    GenerateOptions options = generate_options(info[2].As<Napi::Object>());
    if (kind == "tokens") {
      return
          [tokens = tokens_from(info[1]), options](Context& on) { return on.stream_tokens(tokens, options); };
    }
    std::string text = info[1].ToString();
    if (kind == "chat") {
      return [text = std::move(text), options](Context& on) { return on.stream_chat(text, options); };
    }
    return [text = std::move(text), options](Context& on) { return on.stream(text, options); };
  }

  Napi::Value generate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      (void)get_idle();
      const auto result = std::make_shared<GenerateResult>();
      return queue(
          info,
          [begin = prompt_of(info), result](Shared& on) {
            if (on.stream) {
              throw MullamaError(StatusCode::invalid_argument,
                                 "the context is generating: take its stream to the end or leave it first");
            }
            on.stream.emplace(begin(*on.context));
            while (on.next()) {
            }
            *result = on.stream->result();
            on.stream.reset();
          },
          [result](Napi::Env env) -> Napi::Value { return to_js(env, *result); });
    });
  }

  Napi::Value start(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      (void)get_idle();
      if (shared_->stream) {
        throw MullamaError(StatusCode::invalid_argument,
                           "the context is generating: take its stream to the end or leave it first");
      }
      return queue(
          info, [begin = prompt_of(info)](Shared& on) { on.stream.emplace(begin(*on.context)); },
          [](Napi::Env env) { return env.Undefined(); });
    });
  }

  /// The next piece as {id, text, logprob}, or the result as {result}.
  Napi::Value next(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      (void)get_idle();
      if (!shared_->stream) throw MullamaError(StatusCode::canceled, "the answer was stopped");
      struct Outcome {
        std::optional<StreamToken> piece;
        GenerateResult result;
      };
      const auto outcome = std::make_shared<Outcome>();
      return queue(
          info,
          [outcome](Shared& on) {
            outcome->piece = on.next();
            if (outcome->piece) return;
            outcome->result = on.stream->result();
            on.stream.reset();
          },
          [outcome](Napi::Env env) -> Napi::Value {
            Napi::Object out = Napi::Object::New(env);
            if (!outcome->piece) {
              out.Set("result", to_js(env, outcome->result));
              return out;
            }
            out.Set("id", Napi::Number::New(env, outcome->piece->id));
            out.Set("text", outcome->piece->text);
            out.Set("logprob", Napi::Number::New(env, static_cast<double>(outcome->piece->logprob)));
            return out;
          });
    });
  }

  /// Ends the stream; its result, or null if there is none.
  Napi::Value stop(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (shared_->closed || !shared_->stream) return info.Env().Null();
      (void)get_idle();
      shared_->stream->stop();
      const Napi::Value result = to_js(info.Env(), shared_->stream->result());
      shared_->stream.reset();
      return result;
    });
  }

  Napi::Value evaluate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      (void)get_idle();
      const auto row = std::make_shared<std::vector<float>>();
      return queue(
          info,
          [tokens = tokens_from(info[0]), row](Shared& on) {
            const std::span<const float> logits = on.context->evaluate(tokens);
            row->assign(logits.begin(), logits.end());
          },
          [row](Napi::Env env) { return floats(env, std::move(*row)); });
    });
  }

  Napi::Value embed(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      (void)get_idle();
      const std::string name = info[1].ToString();
      const Pooling pooling = name == "first"  ? Pooling::first
                              : name == "last" ? Pooling::last
                                               : Pooling::mean;
      if (pooling == Pooling::mean && name != "mean") {
        throw MullamaError(StatusCode::invalid_argument, "the pooling is none of mean, first, last: " + name);
      }
      const auto row = std::make_shared<std::vector<float>>();
      return queue(
          info,
          [text = info[0].ToString().Utf8Value(), pooling, normalize = info[2].ToBoolean().Value(),
           row](Shared& on) { *row = on.context->embed(text, pooling, normalize); },
          [row](Napi::Env env) { return floats(env, std::move(*row)); });
    });
  }

  /// An array over the row itself, which lives as long as the array.
  static Napi::Value floats(Napi::Env env, std::vector<float> row) {
    auto kept = std::make_unique<std::vector<float>>(std::move(row));
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        env, kept->data(), kept->size() * sizeof(float),
        [](Napi::Env, void*, std::vector<float>* of) { delete of; }, kept.get());
    const size_t size = kept.release()->size();
    return Napi::Float32Array::New(env, size, buffer, 0);
  }

  Napi::Value clear(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      get_idle().clear();
      return info.Env().Undefined();
    });
  }
  Napi::Value release_idle(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      get_idle().release_idle();
      return info.Env().Undefined();
    });
  }
  Napi::Value cancel(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Context& context = get();
      shared_->cancel_requested = shared_->busy;
      context.cancel();
      return info.Env().Undefined();
    });
  }
  Napi::Value memory_info(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value { return to_js(info.Env(), get().memory_info()); });
  }
  Napi::Value token_count(const Napi::CallbackInfo& info) {
    return guarded(info.Env(),
                   [&]() -> Napi::Value { return Napi::Number::New(info.Env(), get().token_count()); });
  }
  Napi::Value context_size(const Napi::CallbackInfo& info) {
    return guarded(info.Env(),
                   [&]() -> Napi::Value { return Napi::Number::New(info.Env(), get().context_size()); });
  }
  Napi::Value is_closed(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), shared_->closed);
  }

  Napi::Value take_warnings(const Napi::CallbackInfo& info) {
    return strings(info.Env(), warnings_ ? warnings_->take() : std::vector<std::string>());
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Warnings> warnings_;  // the model's
  int64_t told_bytes_ = 0;
};

}  // namespace

Napi::Function define_context(Napi::Env env) {
  return NativeContext::define(env);
}

}  // namespace mullama::node
