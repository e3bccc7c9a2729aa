#include <atomic>
#include <condition_variable>
#include <functional>
#include <nanobind/ndarray.h>
#include <thread>
#include <utility>

#include "binding.hpp"

namespace mullama::python {

namespace {

using Logits = nb::ndarray<nb::numpy, const float, nb::ndim<1>, nb::c_contig>;

/// A context with its answer under way. Everything that computes holds the mutex, with the interpreter let
/// go; `context` is only taken away with the interpreter held, so that readers need no lock.
struct Shared {
  std::mutex mutex;
  std::shared_ptr<Context> context;  // null once closed; also held by arrays of logits
  std::optional<TokenStream> stream;
  uint64_t serial = 0;  // of the stream
  std::shared_ptr<Warnings> warnings;
  nb::object on_warning;

  [[nodiscard]] Context& get() const {
    if (!context) throw MullamaError(StatusCode::invalid_argument, "the context is closed");
    return *context;
  }
};

std::unique_lock<std::mutex> hold(Shared& shared) {
  std::unique_lock lock(shared.mutex, std::try_to_lock);
  if (!lock) {
    throw MullamaError(StatusCode::invalid_argument,
                       "the context is in use by another thread; a context serves one thread at a time");
  }
  (void)shared.get();
  return lock;
}

/// Runs `work` while Ctrl-C is heard, which Python only lets its main thread do: there the work goes to a
/// thread of its own, and `cancel` ends it when a signal's handler raises.
void run_interruptibly(const std::function<void()>& work, const std::function<void()>& cancel) {
  static const nb::object main_thread = nb::module_::import_("threading").attr("main_thread")().attr("ident");
  static const auto main_ident = nb::cast<unsigned long>(main_thread);
  if (PyThread_get_thread_ident() != main_ident) {
    const nb::gil_scoped_release release;
    work();
    return;
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr failure;
  bool interrupted = false;
  {
    nb::gil_scoped_release release;
    std::thread worker([&] {
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      done = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    while (!done) {
      if (changed.wait_for(lock, std::chrono::milliseconds(50), [&] { return done; })) break;
      if (interrupted) continue;
      lock.unlock();
      {
        const nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) {
          interrupted = true;
          cancel();
        }
      }
      lock.lock();
    }
    lock.unlock();
    worker.join();
  }
  if (interrupted) throw nb::python_error();
  if (failure) std::rethrow_exception(failure);
}

class PyStream {
 public:
  PyStream(std::shared_ptr<Shared> shared, uint64_t serial) : shared_(std::move(shared)), serial_(serial) {}
  PyStream(PyStream&&) = default;
  ~PyStream() {
    if (shared_) close();
  }

  /// The next piece; nothing at the end.
  std::optional<StreamToken> next() {
    if (result_) return std::nullopt;
    // What there is to tell goes out between pieces: a receiver may use the context, or raise, and nothing is
    // lost.
    tell_warnings();
    std::optional<StreamToken> piece = step();
    if (!piece) tell_warnings();
    return piece;
  }

  /// Takes the stream to its end.
  const GenerateResult& run() {
    while (next()) {
    }
    return result();
  }

  /// Ends the answer; what was given stays in the context.
  void close() {
    const std::unique_lock lock(shared_->mutex, std::try_to_lock);
    if (!lock) {
      if (shared_->context) shared_->context->cancel();
      return;
    }
    if (!mine()) return;
    const nb::gil_scoped_release release;
    shared_->stream->stop();
    result_ = shared_->stream->result();
    shared_->stream.reset();
  }

  [[nodiscard]] const GenerateResult& result() const {
    if (!result_) throw MullamaError(StatusCode::invalid_argument, "the answer has not ended");
    return *result_;
  }

 private:
  [[nodiscard]] bool mine() const { return shared_->stream && shared_->serial == serial_; }

  void tell_warnings() const { shared_->warnings->tell(shared_->on_warning); }

  std::optional<StreamToken> step() {
    const auto lock = hold(*shared_);
    if (!mine()) throw MullamaError(StatusCode::canceled, "the answer was stopped");
    std::optional<StreamToken> piece;
    try {
      advance();
      piece = shared_->stream->next();
    } catch (...) {
      shared_->stream.reset();
      throw;
    }
    if (!piece) {
      result_ = shared_->stream->result();
      shared_->stream.reset();
    }
    return piece;
  }

  /// Computes until a piece is there.
  void advance() {
    const auto compute = [this] {
      while (!shared_->stream->poll()) {
      }
    };
    if (!reading_prompt_) {
      // One token takes no longer than a person would wait for Ctrl-C.
      {
        const nb::gil_scoped_release release;
        compute();
      }
      if (PyErr_CheckSignals() != 0) {
        const nb::gil_scoped_release release;
        shared_->stream->stop();
        throw_interrupted();
      }
      return;
    }
    run_interruptibly(compute, [this] { shared_->context->cancel(); });
    reading_prompt_ = false;
  }

  [[noreturn]] static void throw_interrupted() {
    const nb::gil_scoped_acquire acquire;
    throw nb::python_error();
  }

  std::shared_ptr<Shared> shared_;
  uint64_t serial_;
  bool reading_prompt_ = true;
  std::optional<GenerateResult> result_;
};

class PyContext {
 public:
  PyContext(const PyModel& model, nb::handle params) : shared_(std::make_shared<Shared>()) {
    const ContextParams native = context_params(params);
    const Model kept = model.get();
    shared_->warnings = model.warnings;
    shared_->on_warning = model.on_warning;
    {
      const nb::gil_scoped_release release;
      shared_->context = std::make_shared<Context>(kept, native);
    }
    shared_->warnings->tell(shared_->on_warning);
  }
  ~PyContext() {
    if (shared_) close();
  }

  void close() {
    if (!shared_->context) return;
    shared_->context->cancel();
    std::shared_ptr<Context> last;
    {
      std::unique_lock lock(shared_->mutex, std::defer_lock);
      {
        const nb::gil_scoped_release release;
        lock.lock();
        shared_->stream.reset();
      }
      last.swap(shared_->context);
    }
    const nb::gil_scoped_release release;
    last.reset();
  }

  [[nodiscard]] bool closed() const { return !shared_->context; }

  template <class Start>
  PyStream start(Start&& begin) {
    const auto lock = hold(*shared_);
    if (shared_->stream) {
      throw MullamaError(StatusCode::invalid_argument,
                         "the context is generating: take its stream to the end or close it first");
    }
    {
      const nb::gil_scoped_release release;
      shared_->stream.emplace(begin(*shared_->context));
    }
    return {shared_, ++shared_->serial};
  }

  Logits evaluate(const std::vector<Token>& tokens) {
    const auto lock = hold(*shared_);
    std::span<const float> row;
    run_interruptibly([&] { row = shared_->context->evaluate(tokens); }, [&] { shared_->context->cancel(); });
    // The array is the library's own row: it keeps the context's memory, and the next call overwrites it.
    auto* const keeper = new std::shared_ptr<Context>(shared_->context);
    const nb::capsule owner(keeper,
                            [](void* kept) noexcept { delete static_cast<std::shared_ptr<Context>*>(kept); });
    return {row.data(), {row.size()}, owner};
  }

  Logits embed(std::string_view text, const std::string& pooling, bool normalize) {
    Pooling kind = Pooling::mean;
    if (pooling == "first") {
      kind = Pooling::first;
    } else if (pooling == "last") {
      kind = Pooling::last;
    } else if (pooling != "mean") {
      throw MullamaError(StatusCode::invalid_argument,
                         "the pooling is none of mean, first, last: " + pooling);
    }
    const auto lock = hold(*shared_);
    auto row = std::make_unique<std::vector<float>>();
    run_interruptibly([&] { *row = shared_->context->embed(text, kind, normalize); },
                      [&] { shared_->context->cancel(); });
    std::vector<float>* const kept = row.release();
    const nb::capsule owner(kept, [](void* of) noexcept { delete static_cast<std::vector<float>*>(of); });
    return {kept->data(), {kept->size()}, owner};
  }

  void clear() {
    const auto lock = hold(*shared_);
    shared_->context->clear();
  }
  void release_idle() {
    const auto lock = hold(*shared_);
    shared_->context->release_idle();
  }
  void cancel() { shared_->get().cancel(); }
  [[nodiscard]] MemoryInfo memory_info() const { return shared_->get().memory_info(); }
  [[nodiscard]] uint32_t token_count() const { return shared_->get().token_count(); }
  [[nodiscard]] uint32_t context_size() const { return shared_->get().context_size(); }

 private:
  std::shared_ptr<Shared> shared_;
};

GenerateOptions generate_options(nb::handle from) {
  GenerateOptions out;
  out.max_tokens = field<std::int32_t>(from, "max_tokens");
  out.sampler = sampler_params(from.attr("sampler"));
  out.stop = field<std::vector<std::string>>(from, "stop");
  out.ignore_end_of_generation = field<bool>(from, "ignore_end_of_generation");
  out.parse_special = field<bool>(from, "parse_special");
  out.render_special = field<bool>(from, "render_special");
  out.grammar = field<std::string>(from, "grammar");
  out.json_schema = field<std::string>(from, "json_schema");
  out.chat_variables = field<std::string>(from, "_chat_variables_json");
  return out;
}

nb::dict result_fields(const GenerateResult& from) {
  nb::dict receipt;
  receipt["kv_bytes"] = from.receipt.kv_bytes;
  receipt["peak_scratch"] = from.receipt.peak_scratch;
  receipt["prefix_bytes_reused"] = from.receipt.prefix_bytes_reused;
  receipt["pages_evicted"] = from.receipt.pages_evicted;
  receipt["tokens_cut"] = from.receipt.tokens_cut;
  receipt["context_growths"] = from.receipt.context_growths;
  receipt["kv_demotions"] = from.receipt.kv_demotions;
  nb::dict out;
  out["text"] = text_of(from.text);
  out["tokens"] = from.tokens;
  out["finish_reason"] = text_of(to_string(from.finish_reason));
  out["seed"] = from.seed;
  out["prompt_tokens"] = from.prompt_tokens;
  out["prompt_evaluated"] = from.prompt_evaluated;
  out["generated_tokens"] = from.generated_tokens;
  out["drafted_tokens"] = from.drafted_tokens;
  out["accepted_tokens"] = from.accepted_tokens;
  out["prompt_seconds"] = from.prompt_seconds;
  out["generate_seconds"] = from.generate_seconds;
  out["receipt"] = receipt;
  return out;
}

nb::dict residency_fields(const Residency& from) {
  nb::dict out;
  out["mapped"] = from.mapped;
  out["resident"] = from.resident;
  out["clean"] = from.clean;
  out["anonymous"] = from.anonymous;
  out["locked"] = from.locked;
  out["swapped"] = from.swapped;
  return out;
}

nb::dict memory_fields(const MemoryInfo& from) {
  nb::list pools;
  for (const PoolUsage& pool : from.pools) {
    nb::dict row;
    row["device"] = text_of(pool.device);
    row["pool"] = text_of(pool.pool);
    row["bytes"] = pool.bytes;
    row["peak"] = pool.peak;
    row["planned"] = pool.planned;
    row["residency"] = residency_fields(pool.residency);
    pools.append(row);
  }
  nb::dict out;
  out["model_size"] = from.model_size;
  out["kv_cache_size"] = from.kv_cache_size;
  out["token_count"] = from.token_count;
  out["context_size"] = from.context_size;
  out["total_allocated"] = from.total_allocated;
  out["kv_cache_used"] = from.kv_cache_used;
  out["scratch_size"] = from.scratch_size;
  out["output_size"] = from.output_size;
  out["tokenizer_size"] = from.tokenizer_size;
  out["key_type"] = text_of(to_string(from.key_type));
  out["value_type"] = text_of(to_string(from.value_type));
  out["lock_asked"] = from.lock_asked;
  out["lock_achieved"] = from.lock_achieved;
  out["pools"] = pools;
  out["residency"] = residency_fields(from.residency);
  out["unaccounted"] = from.unaccounted;
  out["beyond_pools"] = from.beyond_pools;
  return out;
}

}  // namespace

void bind_context(nb::module_& module) {
  nb::class_<StreamToken>(module, "StreamToken", "One piece of a streamed answer.")
      .def_prop_ro("id", [](const StreamToken& token) { return token.id; })
      .def_prop_ro("text", [](const StreamToken& token) { return text_of(token.text); })
      .def_prop_ro("logprob", [](const StreamToken& token) { return token.logprob; })
      .def("__repr__", [](const StreamToken& token) {
        return nb::str("StreamToken(id={}, text={!r})").format(token.id, text_of(token.text));
      });
  nb::class_<PyStream>(module, "NativeStream")
      .def("next", &PyStream::next)
      .def("run", [](PyStream& stream) { return result_fields(stream.run()); })
      .def("close", &PyStream::close)
      .def("result", [](const PyStream& stream) { return result_fields(stream.result()); });
  nb::class_<PyContext>(module, "Context")
      .def("_start",
           [](PyContext& context, std::string_view prompt, nb::handle options) {
             return context.start(
                 [&, native = generate_options(options)](Context& on) { return on.stream(prompt, native); });
           })
      .def("_start_tokens",
           [](PyContext& context, const std::vector<Token>& prompt, nb::handle options) {
             return context.start([&, native = generate_options(options)](Context& on) {
               return on.stream_tokens(prompt, native);
             });
           })
      .def("_start_chat",
           [](PyContext& context, std::string_view messages, nb::handle options) {
             return context.start([&, native = generate_options(options)](Context& on) {
               return on.stream_chat(messages, native);
             });
           })
      .def(nb::init<const PyModel&, nb::handle>())
      .def("close", &PyContext::close, "Frees the context's memory now.")
      .def_prop_ro("closed", &PyContext::closed)
      .def("evaluate", &PyContext::evaluate, nb::arg("tokens"))
      .def("embed", &PyContext::embed, nb::arg("text"), nb::arg("pooling") = "mean",
           nb::arg("normalize") = true)
      .def("clear", &PyContext::clear, "Starts over without reallocating.")
      .def("release_idle", &PyContext::release_idle)
      .def("cancel", &PyContext::cancel, "Makes a generation that runs in another thread end.")
      .def("_memory_info", [](const PyContext& context) { return memory_fields(context.memory_info()); })
      .def_prop_ro("token_count", &PyContext::token_count)
      .def_prop_ro("context_size", &PyContext::context_size);
}

}  // namespace mullama::python
