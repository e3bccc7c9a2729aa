// Measures llama.cpp through its C API the way `mullama bench` measures Mullama: the same tokens, the same
// threads, whole prompts and greedy steps. compare.py builds it against the headers and libraries of the
// peer's own package.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ggml-backend.h>
#include <llama.h>
#include <string>
#include <vector>

namespace {

struct Arguments {
  std::string model;
  std::string backend;  // a CPU library of the package, or its folder to choose the best of
  std::string kv_type = "f16";
  uint32_t prompt = 0;
  uint32_t generate = 0;
  uint32_t depth = 0;
  uint32_t together = 1;
  int threads = 2;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "peer: %s\n", message.c_str());
  std::exit(1);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The tokens that `mullama bench` uses.
std::vector<llama_token> spread_tokens(uint64_t count, uint64_t salt, uint64_t vocabulary) {
  std::vector<llama_token> tokens;
  for (uint64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<llama_token>((i * 7919 + salt * 104729 + 13) % vocabulary));
  }
  return tokens;
}

class Peer {
 public:
  explicit Peer(const Arguments& arguments) : arguments_(arguments) {
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
        },
        nullptr);
    if (!arguments.backend.ends_with(".so")) {
      ggml_backend_load_all_from_path(arguments.backend.c_str());
    } else if (ggml_backend_load(arguments.backend.c_str()) == nullptr) {
      fail("cannot load " + arguments.backend);
    }
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_ = llama_model_load_from_file(arguments.model.c_str(), model_params);
    if (model_ == nullptr) fail("cannot load " + arguments.model);
    vocabulary_ = static_cast<uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_)));
    llama_context_params params = llama_context_default_params();
    params.n_ctx = arguments.together * (arguments.depth + arguments.prompt + arguments.generate + 64);
    params.n_batch = std::max<uint32_t>(512, arguments.together);
    params.n_ubatch = 512;
    params.n_seq_max = arguments.together;
    params.n_threads = params.n_threads_batch = arguments.threads;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
    params.type_k = params.type_v = kv_type(arguments.kv_type);
    if (arguments.kv_type != "f16") params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.no_perf = true;
    context_ = llama_init_from_model(model_, params);
    if (context_ == nullptr) fail("cannot make a context");
  }
  ~Peer() {
    llama_free(context_);
    llama_model_free(model_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Tokens a second of reading the prompt.
  double prefill() {
    if (!filled_) {
      forget(0);
      decode(spread_tokens(arguments_.depth, 1, vocabulary_), 0, 0);
      filled_ = true;
    } else if (!forget(arguments_.depth)) {
      fail("the peer cannot shorten its cache; measure this model without depth");
    }
    const auto tokens = spread_tokens(arguments_.prompt, 2, vocabulary_);
    const auto start = std::chrono::steady_clock::now();
    decode(tokens, 0, arguments_.depth);
    llama_synchronize(context_);
    return arguments_.prompt / seconds_since(start);
  }

  /// Tokens a second of all sequences, each step choosing the most likely token of each.
  double write() {
    const uint32_t depth = std::max(1u, arguments_.depth);
    if (first_.empty() || !forget(depth)) {
      forget(0);
      first_.clear();
      for (uint32_t s = 0; s < arguments_.together; ++s) {
        decode(spread_tokens(depth, s, vocabulary_), s, 0);
        first_.push_back(best(-1));
      }
    }
    std::vector<llama_token> next = first_;
    step(next, depth);
    const auto start = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < arguments_.generate; ++i) step(next, depth + 1 + i);
    return arguments_.generate * arguments_.together / seconds_since(start);
  }

 private:
  static ggml_type kv_type(const std::string& name) {
    if (name == "f32") return GGML_TYPE_F32;
    if (name == "f16") return GGML_TYPE_F16;
    if (name == "bf16") return GGML_TYPE_BF16;
    if (name == "q8_0") return GGML_TYPE_Q8_0;
    if (name == "q4_0") return GGML_TYPE_Q4_0;
    fail("unknown KV type " + name);
  }

  /// Keeps only the first `from` tokens of each sequence; false if the peer's cache cannot do that.
  bool forget(uint32_t from) {
    llama_memory_t memory = llama_get_memory(context_);
    if (from == 0) {
      llama_memory_clear(memory, false);
      return true;
    }
    for (uint32_t s = 0; s < arguments_.together; ++s) {
      if (!llama_memory_seq_rm(memory, static_cast<llama_seq_id>(s), static_cast<llama_pos>(from), -1))
        return false;
    }
    return true;
  }

  /// Computes tokens of one sequence, the last one with logits.
  void decode(const std::vector<llama_token>& tokens, uint32_t sequence, uint32_t position) {
    for (size_t first = 0; first < tokens.size(); first += 512) {
      const size_t count = std::min<size_t>(512, tokens.size() - first);
      llama_batch batch = llama_batch_init(static_cast<int32_t>(count), 0, 1);
      for (size_t i = 0; i < count; ++i) {
        add(batch, tokens[first + i], position + static_cast<uint32_t>(first + i), sequence,
            first + i + 1 == tokens.size());
      }
      if (llama_decode(context_, batch) != 0) fail("llama_decode failed");
      llama_batch_free(batch);
    }
  }

  void step(std::vector<llama_token>& next, uint32_t position) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(next.size()), 0, 1);
    for (uint32_t s = 0; s < next.size(); ++s) add(batch, next[s], position, s, true);
    if (llama_decode(context_, batch) != 0) fail("llama_decode failed");
    for (uint32_t s = 0; s < next.size(); ++s) next[s] = best(static_cast<int32_t>(s));
    llama_batch_free(batch);
  }

  static void add(llama_batch& batch, llama_token token, uint32_t position, uint32_t sequence, bool logits) {
    const int32_t i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = static_cast<llama_pos>(position);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = static_cast<llama_seq_id>(sequence);
    batch.logits[i] = logits;
  }

  llama_token best(int32_t row) {
    const float* logits = llama_get_logits_ith(context_, row);
    return static_cast<llama_token>(std::max_element(logits, logits + vocabulary_) - logits);
  }

  Arguments arguments_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  uint32_t vocabulary_ = 0;
  bool filled_ = false;
  std::vector<llama_token> first_;  // what follows each sequence's prompt
};

}  // namespace

/// Reads "prefill" or "decode" lines from standard input and answers each with a speed, so that runs can be
/// taken in turn with another program's.
int main(int count, char** texts) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = texts[i];
    const char* value = texts[i + 1];
    const auto number = [&] { return static_cast<uint32_t>(std::strtoul(value, nullptr, 10)); };
    if (name == "--model")
      arguments.model = value;
    else if (name == "--backend")
      arguments.backend = value;
    else if (name == "--kv-cache-type")
      arguments.kv_type = value;
    else if (name == "--prompt")
      arguments.prompt = number();
    else if (name == "--generate")
      arguments.generate = number();
    else if (name == "--depth")
      arguments.depth = number();
    else if (name == "--sequences")
      arguments.together = std::max(1u, number());
    else if (name == "--threads")
      arguments.threads = static_cast<int>(number());
    else
      fail("unknown option " + name);
  }
  Peer peer(arguments);
  std::printf("%s\n", llama_print_system_info());
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof(line), stdin) != nullptr) {
    const bool prefill = std::strncmp(line, "prefill", 7) == 0;
    std::printf("%.6f\n", prefill ? peer.prefill() : peer.write());
    std::fflush(stdout);
  }
  return 0;
}
