/* The C API of Mullama.
 *
 * Each *_create or *_load has a *_free, which accepts NULL. Functions that can fail return a mullama_status
 * and never abort or throw; mullama_last_error() tells the calling thread what went wrong in its last failed
 * call.
 *
 * Every struct that crosses this border begins with its size, which its *_init function records beside the
 * defaults: mullama_result_init(&result, sizeof(result)). New fields are only ever added at a struct's end,
 * and the library neither reads nor writes beyond the size it was told, so that a program may meet a library
 * of another age: fields that the older of the two does not know keep their defaults, and one that was set
 * and that the library does not know is MULLAMA_UNSUPPORTED. Structs within structs have room reserved
 * instead.
 *
 * A model may be used from many threads at once; a context, batch, sampler or stream from one at a time,
 * except mullama_context_cancel(), _token_count(), _size() and _memory_info(). A context keeps its model
 * alive, and a stream its context: handles may be freed in any order. Functions that only read accept a NULL
 * handle and then return 0, false or NULL. */
#ifndef MULLAMA_MULLAMA_H
#define MULLAMA_MULLAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MULLAMA_C_API
#else
#define MULLAMA_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mullama_model mullama_model;
typedef struct mullama_context mullama_context;
typedef struct mullama_batch mullama_batch;
typedef struct mullama_sampler mullama_sampler;
typedef struct mullama_stream mullama_stream;

typedef int32_t mullama_token;

typedef enum mullama_status {
  MULLAMA_OK = 0,
  MULLAMA_INVALID_ARGUMENT = 1,
  MULLAMA_NOT_FOUND = 2,
  MULLAMA_CORRUPT_FILE = 3,
  MULLAMA_UNSUPPORTED = 4,
  MULLAMA_IO = 5,
  MULLAMA_BUDGET_EXCEEDED = 6,
  MULLAMA_OUT_OF_MEMORY = 7,
  MULLAMA_GPU_OUT_OF_MEMORY = 8,
  MULLAMA_CONTEXT_FULL = 9,
  MULLAMA_CANCELED = 10,
  MULLAMA_PERMISSION = 11,
  MULLAMA_UNAVAILABLE = 12,
  MULLAMA_DOWNLOAD = 13,
  MULLAMA_TIMEOUT = 14,
  MULLAMA_INTERNAL = 15
} mullama_status;

typedef enum mullama_kv_cache_type {
  MULLAMA_KV_SAME = -1, /* for values: as for keys */
  MULLAMA_KV_F32 = 0,
  MULLAMA_KV_F16 = 1,
  MULLAMA_KV_BF16 = 2,
  MULLAMA_KV_Q8_0 = 3,
  MULLAMA_KV_Q4_0 = 4
} mullama_kv_cache_type;

typedef enum mullama_finish_reason {
  MULLAMA_FINISH_STOP = 0,
  MULLAMA_FINISH_LENGTH = 1,
  MULLAMA_FINISH_CANCELED = 2,
  MULLAMA_FINISH_CONTEXT_FULL = 3
} mullama_finish_reason;

/* Receives one line without a line break; valid during the call only. */
typedef void (*mullama_warning_callback)(const char* line, void* user);

typedef struct mullama_model_params {
  size_t struct_size;
  bool use_mmap;                       /* true */
  bool use_mlock;                      /* false */
  bool mlock_required;                 /* false */
  bool vocab_only;                     /* false */
  int32_t n_gpu_layers;                /* 0; -1: all */
  uint32_t n_threads;                  /* 0: as many as the process may use */
  const char* isa;                     /* NULL: MULLAMA_ISA, else the fastest */
  const char* pre_tokenizer;           /* NULL: as the file says */
  mullama_warning_callback on_warning; /* NULL: stderr */
  void* warning_user;
} mullama_model_params;

typedef struct mullama_context_params {
  size_t struct_size;
  uint32_t n_ctx;                        /* 0: min(4096, trained context) */
  uint32_t n_batch;                      /* 512 */
  mullama_kv_cache_type kv_cache_type;   /* MULLAMA_KV_F16 */
  mullama_kv_cache_type kv_cache_type_v; /* MULLAMA_KV_SAME */
  bool kv_rotate;                        /* true */
  uint32_t n_sequences;                  /* 1 */
  uint32_t lookup;                       /* 0; tokens that a step may guess from the text so far */
  /* false; whether a full context is replaced by a larger one within the budget, in announced steps: a
   * smaller batch, then keys and values in q8_0, then in q4_0. Each step is one line to on_warning. */
  bool grow;
} mullama_context_params;

typedef struct mullama_sampler_params {
  size_t struct_size;
  bool has_seed; /* false: a random seed, reported with the result */
  uint64_t seed;
  float temperature; /* 0.8; 0: always the most likely token */
  float dynamic_temperature_range;
  float dynamic_temperature_exponent;
  int32_t top_k;   /* 40 */
  float top_p;     /* 0.95 */
  float min_p;     /* 0.05 */
  float typical_p; /* 1 */
  float xtc_probability;
  float xtc_threshold;
  float repeat_penalty; /* 1 */
  int32_t repeat_last_n;
  float frequency_penalty;
  float presence_penalty;
  float dry_multiplier;
  float dry_base;
  int32_t dry_allowed_length;
  int32_t dry_penalty_last_n;
  int32_t mirostat;
  float mirostat_tau;
  float mirostat_eta;
  const mullama_token* logit_bias_tokens; /* n_logit_bias ids with their biases */
  const float* logit_bias_values;
  size_t n_logit_bias;
  const char* order; /* NULL: the default order */
  /* n_dry_sequence_breakers strings; NULL: line break, colon, quotation mark, asterisk */
  const char* const* dry_sequence_breakers;
  size_t n_dry_sequence_breakers;
} mullama_sampler_params;

typedef struct mullama_generate_params {
  size_t struct_size;
  int32_t max_tokens;                    /* -1: until the model stops or the context is full */
  const mullama_sampler_params* sampler; /* NULL: the defaults */
  const char* const* stop;               /* n_stop strings */
  size_t n_stop;
  bool ignore_end_of_generation;
  bool parse_special;      /* true */
  const char* grammar;     /* GBNF, or NULL */
  const char* json_schema; /* a JSON Schema, "json", or NULL */
  bool render_special;     /* false */
  /* For conversations: a JSON object of further variables of the template, such as
   * {"enable_thinking": false} or {"reasoning_effort": "low"}, or NULL. */
  const char* chat_variables;
} mullama_generate_params;

/* One piece of a streamed answer; text holds complete UTF-8 characters and may be empty. Return false to
 * stop. */
typedef bool (*mullama_token_callback)(mullama_token token, const char* text, size_t text_size, float logprob,
                                       void* user);

/* One piece of a streamed answer. */
typedef struct mullama_stream_token {
  size_t struct_size;
  mullama_token token; /* -1: none, as in a last piece of held back text */
  const char* text;    /* complete UTF-8 characters; valid until the stream's next call */
  size_t text_size;
  float logprob;
} mullama_stream_token;

/* What one request took. */
typedef struct mullama_receipt {
  uint64_t kv_bytes;
  uint64_t peak_scratch;
  uint64_t prefix_bytes_reused;
  uint64_t pages_evicted;
  uint64_t tokens_cut;
  uint64_t context_growths; /* times that a larger context took over, */
  uint64_t kv_demotions;    /* and of them those with a smaller KV type */
  uint64_t reserved[5];     /* 0 */
} mullama_receipt;

/* Its text and tokens are freed by mullama_result_free(), after which it can be used again. */
typedef struct mullama_result {
  size_t struct_size;
  char* text; /* UTF-8, text_size bytes and a terminating zero */
  size_t text_size;
  mullama_token* tokens;
  size_t n_tokens;
  mullama_finish_reason finish_reason;
  uint64_t seed;
  uint32_t prompt_tokens;
  uint32_t prompt_evaluated;
  uint32_t generated_tokens;
  double prompt_seconds;
  double generate_seconds;
  mullama_receipt receipt;
  uint32_t drafted_tokens;  /* guessed by lookup, */
  uint32_t accepted_tokens; /* and of them those that were right */
} mullama_result;

/* What backs memory at this moment, as the operating system says; zeros where it does not. Bytes. */
typedef struct mullama_residency {
  uint64_t mapped;    /* address space */
  uint64_t resident;  /* in memory: a share of the process's RSS */
  uint64_t clean;     /* resident pages equal to their file, given back without a write */
  uint64_t anonymous; /* resident pages of no file: only swap could take them */
  uint64_t locked;    /* resident pages of locked mappings: achieved, not asked */
  uint64_t swapped;
  uint64_t reserved[2]; /* 0 */
} mullama_residency;

/* Bytes, but for token_count and context_size. */
typedef struct mullama_memory_info {
  size_t struct_size;
  uint64_t model_size;
  uint64_t kv_cache_size;
  uint64_t token_count;
  uint64_t context_size;
  uint64_t total_allocated;
  uint64_t kv_cache_used;
  uint64_t scratch_size;
  uint64_t output_size;
  uint64_t tokenizer_size;
  mullama_kv_cache_type key_type;
  mullama_kv_cache_type value_type;
  uint64_t lock_asked;    /* of weights and KV cache by use_mlock, */
  uint64_t lock_achieved; /* and locked */
  mullama_residency process;
  mullama_residency weights; /* of all models of the process, mapped or owned */
  mullama_residency kv;      /* of all contexts of the process */
  uint64_t unaccounted;      /* sum over pools of |bytes - planned|: 0 while nothing loads */
  uint64_t beyond_pools;     /* resident bytes in no pool: program code, heap, stacks */
} mullama_memory_info;

/* One pool of one device in the account book of the whole process. */
typedef struct mullama_pool_usage {
  size_t struct_size;
  char device[16];
  char pool[24];
  uint64_t bytes;
  uint64_t peak;
  uint64_t planned;            /* what the plan said before the bytes were taken */
  mullama_residency residency; /* of host memory */
} mullama_pool_usage;

typedef enum mullama_pooling {
  MULLAMA_POOLING_MEAN = 0,
  MULLAMA_POOLING_FIRST = 1,
  MULLAMA_POOLING_LAST = 2
} mullama_pooling;

typedef struct mullama_live_objects {
  size_t struct_size;
  uint64_t models;
  uint64_t contexts;
  uint64_t batches;
  uint64_t samplers;
  uint64_t streams;
} mullama_live_objects;

MULLAMA_C_API const char* mullama_version(void);
/* What failed last in this thread; "" if nothing did. Valid until the thread's next call. */
MULLAMA_C_API const char* mullama_last_error(void);
/* "2GiB", "host=2GiB,gpu0=1GiB", "auto", or "" for no limit on the memory of this process. */
MULLAMA_C_API mullama_status mullama_set_memory_budget(const char* budget);
/* Memory that will be taken, as JSON, from the file's header alone: context_size, sequences, batch_size,
 * key_type, value_type, rows of {device, pool, bytes, why}, total, recommended, available, limited_by,
 * budget, fits, weights_are_streamed, alternatives of {flags, bytes}. Both params may be NULL; *json is freed
 * with mullama_string_free(). */
MULLAMA_C_API mullama_status mullama_plan(const char* path, const mullama_model_params* model,
                                          const mullama_context_params* context, char** json);
/* Writes up to `capacity` pools, each of which mullama_pool_usage_init() has filled before, and always sets
 * *count to the number there are. */
MULLAMA_C_API mullama_status mullama_memory_pools(mullama_pool_usage* pools, size_t capacity, size_t* count);
/* "f16" and so on; NULL for a value that is none of the types. */
MULLAMA_C_API const char* mullama_kv_cache_type_name(mullama_kv_cache_type type);
MULLAMA_C_API mullama_status mullama_kv_cache_type_from_name(const char* name, mullama_kv_cache_type* type);
MULLAMA_C_API mullama_status mullama_get_live_objects(mullama_live_objects* live);
/* Frees a string that a function of this API gave away. */
MULLAMA_C_API void mullama_string_free(char* text);

/* Each fills a struct of the caller with its defaults, or with zeros what the library will write; struct_size
 * is the sizeof() that the caller was compiled with. NULL is left alone. */
MULLAMA_C_API void mullama_model_params_init(mullama_model_params* params, size_t struct_size);
MULLAMA_C_API void mullama_context_params_init(mullama_context_params* params, size_t struct_size);
MULLAMA_C_API void mullama_sampler_params_init(mullama_sampler_params* params, size_t struct_size);
MULLAMA_C_API void mullama_generate_params_init(mullama_generate_params* params, size_t struct_size);
MULLAMA_C_API void mullama_result_init(mullama_result* result, size_t struct_size);
MULLAMA_C_API void mullama_stream_token_init(mullama_stream_token* token, size_t struct_size);
MULLAMA_C_API void mullama_memory_info_init(mullama_memory_info* info, size_t struct_size);
MULLAMA_C_API void mullama_pool_usage_init(mullama_pool_usage* pool, size_t struct_size);
MULLAMA_C_API void mullama_live_objects_init(mullama_live_objects* live, size_t struct_size);

/* params may be NULL for the defaults. */
MULLAMA_C_API mullama_status mullama_model_load(const char* path, const mullama_model_params* params,
                                                mullama_model** model);
MULLAMA_C_API void mullama_model_free(mullama_model* model);
MULLAMA_C_API uint32_t mullama_model_vocab_size(const mullama_model* model);
MULLAMA_C_API uint32_t mullama_model_n_layer(const mullama_model* model);
MULLAMA_C_API uint32_t mullama_model_n_embd(const mullama_model* model);
MULLAMA_C_API uint32_t mullama_model_n_ctx_train(const mullama_model* model);
MULLAMA_C_API uint64_t mullama_model_parameter_count(const mullama_model* model);
MULLAMA_C_API uint64_t mullama_model_size_bytes(const mullama_model* model);
/* -1 if the model has none. */
MULLAMA_C_API mullama_token mullama_model_bos(const mullama_model* model);
MULLAMA_C_API mullama_token mullama_model_eos(const mullama_model* model);
MULLAMA_C_API bool mullama_model_is_end_of_generation(const mullama_model* model, mullama_token token);
/* These two are freed with mullama_string_free(); NULL only if memory runs out. */
MULLAMA_C_API char* mullama_model_architecture(const mullama_model* model);
MULLAMA_C_API char* mullama_model_name(const mullama_model* model);
MULLAMA_C_API size_t mullama_model_metadata_count(const mullama_model* model);
/* The entry at `index`, in the file's order; both strings are freed with mullama_string_free(). */
MULLAMA_C_API mullama_status mullama_model_metadata_at(const mullama_model* model, size_t index, char** key,
                                                       char** value);
/* A metadata value as text, freed with mullama_string_free(); MULLAMA_NOT_FOUND if there is no such key. */
MULLAMA_C_API mullama_status mullama_model_metadata(const mullama_model* model, const char* key,
                                                    char** value);

/* Writes up to `capacity` ids and always sets *count to the number there are; a larger count than capacity is
 * not an error. */
MULLAMA_C_API mullama_status mullama_tokenize(const mullama_model* model, const char* text, size_t text_size,
                                              bool add_special, bool parse_special, mullama_token* tokens,
                                              size_t capacity, size_t* count);
/* *text is freed with mullama_string_free(). */
MULLAMA_C_API mullama_status mullama_detokenize(const mullama_model* model, const mullama_token* tokens,
                                                size_t count, bool render_special, char** text,
                                                size_t* text_size);
/* The bytes of one token, which may be part of a character. */
MULLAMA_C_API mullama_status mullama_token_piece(const mullama_model* model, mullama_token token,
                                                 bool render_special, char** bytes, size_t* size);
/* messages_json, and tools_json unless NULL, are JSON arrays in OpenAI's shape; variables_json, unless NULL,
 * is as in mullama_generate_params::chat_variables. */
MULLAMA_C_API mullama_status mullama_apply_chat_template(const mullama_model* model,
                                                         const char* messages_json, const char* tools_json,
                                                         const char* variables_json,
                                                         bool add_generation_prompt, char** text,
                                                         size_t* text_size);

MULLAMA_C_API mullama_status mullama_context_create(const mullama_model* model,
                                                    const mullama_context_params* params,
                                                    mullama_context** context);
MULLAMA_C_API void mullama_context_free(mullama_context* context);
/* Starts over without reallocating. */
MULLAMA_C_API mullama_status mullama_context_clear(mullama_context* context);
/* May be called from any thread: the running generation ends after its current step. */
MULLAMA_C_API void mullama_context_cancel(mullama_context* context);
MULLAMA_C_API mullama_status mullama_context_release_idle(mullama_context* context);
MULLAMA_C_API uint32_t mullama_context_token_count(const mullama_context* context);
MULLAMA_C_API uint32_t mullama_context_size(const mullama_context* context);
MULLAMA_C_API mullama_status mullama_context_memory_info(const mullama_context* context,
                                                         mullama_memory_info* info);

/* Continues the raw text `prompt`. params and callback may be NULL. */
MULLAMA_C_API mullama_status mullama_generate(mullama_context* context, const char* prompt,
                                              size_t prompt_size, const mullama_generate_params* params,
                                              mullama_token_callback callback, void* user,
                                              mullama_result* result);
/* The same from the tokens of a batch. */
MULLAMA_C_API mullama_status mullama_generate_batch(mullama_context* context, const mullama_batch* prompt,
                                                    const mullama_generate_params* params,
                                                    mullama_token_callback callback, void* user,
                                                    mullama_result* result);
/* Answers a conversation with the model's chat template. */
MULLAMA_C_API mullama_status mullama_chat(mullama_context* context, const char* messages_json,
                                          const mullama_generate_params* params,
                                          mullama_token_callback callback, void* user,
                                          mullama_result* result);
/* The same three, for callers that ask for each token when they want it. The context may do nothing else
 * until the stream has ended or is freed, which stops the answer. */
MULLAMA_C_API mullama_status mullama_stream_create(mullama_context* context, const char* prompt,
                                                   size_t prompt_size, const mullama_generate_params* params,
                                                   mullama_stream** stream);
MULLAMA_C_API mullama_status mullama_stream_create_batch(mullama_context* context,
                                                         const mullama_batch* prompt,
                                                         const mullama_generate_params* params,
                                                         mullama_stream** stream);
MULLAMA_C_API mullama_status mullama_stream_create_chat(mullama_context* context, const char* messages_json,
                                                        const mullama_generate_params* params,
                                                        mullama_stream** stream);
/* *has_token is false once the answer has ended. */
MULLAMA_C_API mullama_status mullama_stream_next(mullama_stream* stream, mullama_stream_token* token,
                                                 bool* has_token);
/* Computes one step, a chunk of the prompt or a token; *ready says that next() need not compute. */
MULLAMA_C_API mullama_status mullama_stream_poll(mullama_stream* stream, bool* ready);
/* Ends the answer now; its result says canceled. */
MULLAMA_C_API mullama_status mullama_stream_stop(mullama_stream* stream);
/* After the end. */
MULLAMA_C_API mullama_status mullama_stream_result(const mullama_stream* stream, mullama_result* result);
MULLAMA_C_API void mullama_stream_free(mullama_stream* stream);
MULLAMA_C_API void mullama_result_free(mullama_result* result);

/* Appends the batch's tokens; *logits are those after the last one, n_vocab of them, valid until the
 * context's next call. */
MULLAMA_C_API mullama_status mullama_evaluate(mullama_context* context, const mullama_batch* batch,
                                              const float** logits, size_t* n_vocab);

/* Writes the embedding of a text, of length 1 if `normalize`, to `embedding`, which holds `capacity` values
 * and must hold mullama_model_n_embd() of them. The context is cleared. */
MULLAMA_C_API mullama_status mullama_embed(mullama_context* context, const char* text, size_t text_size,
                                           mullama_pooling pooling, bool normalize, float* embedding,
                                           size_t capacity);

MULLAMA_C_API mullama_status mullama_batch_create(mullama_batch** batch);
MULLAMA_C_API void mullama_batch_free(mullama_batch* batch);
MULLAMA_C_API mullama_status mullama_batch_add(mullama_batch* batch, mullama_token token);
MULLAMA_C_API void mullama_batch_clear(mullama_batch* batch);
MULLAMA_C_API size_t mullama_batch_size(const mullama_batch* batch);

/* params may be NULL for the defaults. */
MULLAMA_C_API mullama_status mullama_sampler_create(const mullama_model* model,
                                                    const mullama_sampler_params* params,
                                                    mullama_sampler** sampler);
MULLAMA_C_API void mullama_sampler_free(mullama_sampler* sampler);
MULLAMA_C_API mullama_status mullama_sampler_sample(mullama_sampler* sampler, const float* logits,
                                                    size_t n_logits, mullama_token* token);
MULLAMA_C_API mullama_status mullama_sampler_accept(mullama_sampler* sampler, mullama_token token);
MULLAMA_C_API void mullama_sampler_reset(mullama_sampler* sampler);

#ifdef __cplusplus
}
#endif

#endif
