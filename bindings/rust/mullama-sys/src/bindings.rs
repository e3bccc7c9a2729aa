pub type __int32_t = ::std::os::raw::c_int;
pub type __uint32_t = ::std::os::raw::c_uint;
pub type __uint64_t = ::std::os::raw::c_ulong;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_model {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_context {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_batch {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_sampler {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_stream {
    _unused: [u8; 0],
}
pub type mullama_token = i32;
pub const MULLAMA_OK: mullama_status = 0;
pub const MULLAMA_INVALID_ARGUMENT: mullama_status = 1;
pub const MULLAMA_NOT_FOUND: mullama_status = 2;
pub const MULLAMA_CORRUPT_FILE: mullama_status = 3;
pub const MULLAMA_UNSUPPORTED: mullama_status = 4;
pub const MULLAMA_IO: mullama_status = 5;
pub const MULLAMA_BUDGET_EXCEEDED: mullama_status = 6;
pub const MULLAMA_OUT_OF_MEMORY: mullama_status = 7;
pub const MULLAMA_GPU_OUT_OF_MEMORY: mullama_status = 8;
pub const MULLAMA_CONTEXT_FULL: mullama_status = 9;
pub const MULLAMA_CANCELED: mullama_status = 10;
pub const MULLAMA_PERMISSION: mullama_status = 11;
pub const MULLAMA_UNAVAILABLE: mullama_status = 12;
pub const MULLAMA_DOWNLOAD: mullama_status = 13;
pub const MULLAMA_TIMEOUT: mullama_status = 14;
pub const MULLAMA_INTERNAL: mullama_status = 15;
pub type mullama_status = ::std::os::raw::c_uint;
pub const MULLAMA_KV_SAME: mullama_kv_cache_type = -1;
pub const MULLAMA_KV_F32: mullama_kv_cache_type = 0;
pub const MULLAMA_KV_F16: mullama_kv_cache_type = 1;
pub const MULLAMA_KV_BF16: mullama_kv_cache_type = 2;
pub const MULLAMA_KV_Q8_0: mullama_kv_cache_type = 3;
pub const MULLAMA_KV_Q4_0: mullama_kv_cache_type = 4;
pub type mullama_kv_cache_type = ::std::os::raw::c_int;
pub const MULLAMA_FINISH_STOP: mullama_finish_reason = 0;
pub const MULLAMA_FINISH_LENGTH: mullama_finish_reason = 1;
pub const MULLAMA_FINISH_CANCELED: mullama_finish_reason = 2;
pub const MULLAMA_FINISH_CONTEXT_FULL: mullama_finish_reason = 3;
pub type mullama_finish_reason = ::std::os::raw::c_uint;
pub type mullama_warning_callback = ::std::option::Option<
    unsafe extern "C" fn(line: *const ::std::os::raw::c_char, user: *mut ::std::os::raw::c_void),
>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_model_params {
    pub struct_size: usize,
    pub use_mmap: bool,
    pub use_mlock: bool,
    pub mlock_required: bool,
    pub vocab_only: bool,
    pub n_gpu_layers: i32,
    pub n_threads: u32,
    pub isa: *const ::std::os::raw::c_char,
    pub pre_tokenizer: *const ::std::os::raw::c_char,
    pub on_warning: mullama_warning_callback,
    pub warning_user: *mut ::std::os::raw::c_void,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_context_params {
    pub struct_size: usize,
    pub n_ctx: u32,
    pub n_batch: u32,
    pub kv_cache_type: mullama_kv_cache_type,
    pub kv_cache_type_v: mullama_kv_cache_type,
    pub kv_rotate: bool,
    pub n_sequences: u32,
    pub lookup: u32,
    pub grow: bool,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_sampler_params {
    pub struct_size: usize,
    pub has_seed: bool,
    pub seed: u64,
    pub temperature: f32,
    pub dynamic_temperature_range: f32,
    pub dynamic_temperature_exponent: f32,
    pub top_k: i32,
    pub top_p: f32,
    pub min_p: f32,
    pub typical_p: f32,
    pub xtc_probability: f32,
    pub xtc_threshold: f32,
    pub repeat_penalty: f32,
    pub repeat_last_n: i32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub dry_multiplier: f32,
    pub dry_base: f32,
    pub dry_allowed_length: i32,
    pub dry_penalty_last_n: i32,
    pub mirostat: i32,
    pub mirostat_tau: f32,
    pub mirostat_eta: f32,
    pub logit_bias_tokens: *const mullama_token,
    pub logit_bias_values: *const f32,
    pub n_logit_bias: usize,
    pub order: *const ::std::os::raw::c_char,
    pub dry_sequence_breakers: *const *const ::std::os::raw::c_char,
    pub n_dry_sequence_breakers: usize,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_generate_params {
    pub struct_size: usize,
    pub max_tokens: i32,
    pub sampler: *const mullama_sampler_params,
    pub stop: *const *const ::std::os::raw::c_char,
    pub n_stop: usize,
    pub ignore_end_of_generation: bool,
    pub parse_special: bool,
    pub grammar: *const ::std::os::raw::c_char,
    pub json_schema: *const ::std::os::raw::c_char,
    pub render_special: bool,
    pub chat_variables: *const ::std::os::raw::c_char,
}
pub type mullama_token_callback = ::std::option::Option<
    unsafe extern "C" fn(
        token: mullama_token,
        text: *const ::std::os::raw::c_char,
        text_size: usize,
        logprob: f32,
        user: *mut ::std::os::raw::c_void,
    ) -> bool,
>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_stream_token {
    pub struct_size: usize,
    pub token: mullama_token,
    pub text: *const ::std::os::raw::c_char,
    pub text_size: usize,
    pub logprob: f32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_receipt {
    pub kv_bytes: u64,
    pub peak_scratch: u64,
    pub prefix_bytes_reused: u64,
    pub pages_evicted: u64,
    pub tokens_cut: u64,
    pub context_growths: u64,
    pub kv_demotions: u64,
    pub reserved: [u64; 5usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_result {
    pub struct_size: usize,
    pub text: *mut ::std::os::raw::c_char,
    pub text_size: usize,
    pub tokens: *mut mullama_token,
    pub n_tokens: usize,
    pub finish_reason: mullama_finish_reason,
    pub seed: u64,
    pub prompt_tokens: u32,
    pub prompt_evaluated: u32,
    pub generated_tokens: u32,
    pub prompt_seconds: f64,
    pub generate_seconds: f64,
    pub receipt: mullama_receipt,
    pub drafted_tokens: u32,
    pub accepted_tokens: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_residency {
    pub mapped: u64,
    pub resident: u64,
    pub clean: u64,
    pub anonymous: u64,
    pub locked: u64,
    pub swapped: u64,
    pub reserved: [u64; 2usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_memory_info {
    pub struct_size: usize,
    pub model_size: u64,
    pub kv_cache_size: u64,
    pub token_count: u64,
    pub context_size: u64,
    pub total_allocated: u64,
    pub kv_cache_used: u64,
    pub scratch_size: u64,
    pub output_size: u64,
    pub tokenizer_size: u64,
    pub key_type: mullama_kv_cache_type,
    pub value_type: mullama_kv_cache_type,
    pub lock_asked: u64,
    pub lock_achieved: u64,
    pub process: mullama_residency,
    pub weights: mullama_residency,
    pub kv: mullama_residency,
    pub unaccounted: u64,
    pub beyond_pools: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_pool_usage {
    pub struct_size: usize,
    pub device: [::std::os::raw::c_char; 16usize],
    pub pool: [::std::os::raw::c_char; 24usize],
    pub bytes: u64,
    pub peak: u64,
    pub planned: u64,
    pub residency: mullama_residency,
}
pub const MULLAMA_POOLING_MEAN: mullama_pooling = 0;
pub const MULLAMA_POOLING_FIRST: mullama_pooling = 1;
pub const MULLAMA_POOLING_LAST: mullama_pooling = 2;
pub type mullama_pooling = ::std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mullama_live_objects {
    pub struct_size: usize,
    pub models: u64,
    pub contexts: u64,
    pub batches: u64,
    pub samplers: u64,
    pub streams: u64,
}
extern "C" {
    pub fn mullama_version() -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn mullama_last_error() -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn mullama_set_memory_budget(budget: *const ::std::os::raw::c_char) -> mullama_status;
}
extern "C" {
    pub fn mullama_plan(
        path: *const ::std::os::raw::c_char,
        model: *const mullama_model_params,
        context: *const mullama_context_params,
        json: *mut *mut ::std::os::raw::c_char,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_memory_pools(
        pools: *mut mullama_pool_usage,
        capacity: usize,
        count: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_kv_cache_type_name(
        type_: mullama_kv_cache_type,
    ) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn mullama_kv_cache_type_from_name(
        name: *const ::std::os::raw::c_char,
        type_: *mut mullama_kv_cache_type,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_get_live_objects(live: *mut mullama_live_objects) -> mullama_status;
}
extern "C" {
    pub fn mullama_string_free(text: *mut ::std::os::raw::c_char);
}
extern "C" {
    pub fn mullama_model_params_init(params: *mut mullama_model_params, struct_size: usize);
}
extern "C" {
    pub fn mullama_context_params_init(params: *mut mullama_context_params, struct_size: usize);
}
extern "C" {
    pub fn mullama_sampler_params_init(params: *mut mullama_sampler_params, struct_size: usize);
}
extern "C" {
    pub fn mullama_generate_params_init(params: *mut mullama_generate_params, struct_size: usize);
}
extern "C" {
    pub fn mullama_result_init(result: *mut mullama_result, struct_size: usize);
}
extern "C" {
    pub fn mullama_stream_token_init(token: *mut mullama_stream_token, struct_size: usize);
}
extern "C" {
    pub fn mullama_memory_info_init(info: *mut mullama_memory_info, struct_size: usize);
}
extern "C" {
    pub fn mullama_pool_usage_init(pool: *mut mullama_pool_usage, struct_size: usize);
}
extern "C" {
    pub fn mullama_live_objects_init(live: *mut mullama_live_objects, struct_size: usize);
}
extern "C" {
    pub fn mullama_model_load(
        path: *const ::std::os::raw::c_char,
        params: *const mullama_model_params,
        model: *mut *mut mullama_model,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_model_free(model: *mut mullama_model);
}
extern "C" {
    pub fn mullama_model_vocab_size(model: *const mullama_model) -> u32;
}
extern "C" {
    pub fn mullama_model_n_layer(model: *const mullama_model) -> u32;
}
extern "C" {
    pub fn mullama_model_n_embd(model: *const mullama_model) -> u32;
}
extern "C" {
    pub fn mullama_model_n_ctx_train(model: *const mullama_model) -> u32;
}
extern "C" {
    pub fn mullama_model_parameter_count(model: *const mullama_model) -> u64;
}
extern "C" {
    pub fn mullama_model_size_bytes(model: *const mullama_model) -> u64;
}
extern "C" {
    pub fn mullama_model_bos(model: *const mullama_model) -> mullama_token;
}
extern "C" {
    pub fn mullama_model_eos(model: *const mullama_model) -> mullama_token;
}
extern "C" {
    pub fn mullama_model_is_end_of_generation(
        model: *const mullama_model,
        token: mullama_token,
    ) -> bool;
}
extern "C" {
    pub fn mullama_model_architecture(model: *const mullama_model) -> *mut ::std::os::raw::c_char;
}
extern "C" {
    pub fn mullama_model_name(model: *const mullama_model) -> *mut ::std::os::raw::c_char;
}
extern "C" {
    pub fn mullama_model_metadata_count(model: *const mullama_model) -> usize;
}
extern "C" {
    pub fn mullama_model_metadata_at(
        model: *const mullama_model,
        index: usize,
        key: *mut *mut ::std::os::raw::c_char,
        value: *mut *mut ::std::os::raw::c_char,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_model_metadata(
        model: *const mullama_model,
        key: *const ::std::os::raw::c_char,
        value: *mut *mut ::std::os::raw::c_char,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_tokenize(
        model: *const mullama_model,
        text: *const ::std::os::raw::c_char,
        text_size: usize,
        add_special: bool,
        parse_special: bool,
        tokens: *mut mullama_token,
        capacity: usize,
        count: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_detokenize(
        model: *const mullama_model,
        tokens: *const mullama_token,
        count: usize,
        render_special: bool,
        text: *mut *mut ::std::os::raw::c_char,
        text_size: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_token_piece(
        model: *const mullama_model,
        token: mullama_token,
        render_special: bool,
        bytes: *mut *mut ::std::os::raw::c_char,
        size: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_apply_chat_template(
        model: *const mullama_model,
        messages_json: *const ::std::os::raw::c_char,
        tools_json: *const ::std::os::raw::c_char,
        variables_json: *const ::std::os::raw::c_char,
        add_generation_prompt: bool,
        text: *mut *mut ::std::os::raw::c_char,
        text_size: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_context_create(
        model: *const mullama_model,
        params: *const mullama_context_params,
        context: *mut *mut mullama_context,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_context_free(context: *mut mullama_context);
}
extern "C" {
    pub fn mullama_context_clear(context: *mut mullama_context) -> mullama_status;
}
extern "C" {
    pub fn mullama_context_cancel(context: *mut mullama_context);
}
extern "C" {
    pub fn mullama_context_release_idle(context: *mut mullama_context) -> mullama_status;
}
extern "C" {
    pub fn mullama_context_token_count(context: *const mullama_context) -> u32;
}
extern "C" {
    pub fn mullama_context_size(context: *const mullama_context) -> u32;
}
extern "C" {
    pub fn mullama_context_memory_info(
        context: *const mullama_context,
        info: *mut mullama_memory_info,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_generate(
        context: *mut mullama_context,
        prompt: *const ::std::os::raw::c_char,
        prompt_size: usize,
        params: *const mullama_generate_params,
        callback: mullama_token_callback,
        user: *mut ::std::os::raw::c_void,
        result: *mut mullama_result,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_generate_batch(
        context: *mut mullama_context,
        prompt: *const mullama_batch,
        params: *const mullama_generate_params,
        callback: mullama_token_callback,
        user: *mut ::std::os::raw::c_void,
        result: *mut mullama_result,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_chat(
        context: *mut mullama_context,
        messages_json: *const ::std::os::raw::c_char,
        params: *const mullama_generate_params,
        callback: mullama_token_callback,
        user: *mut ::std::os::raw::c_void,
        result: *mut mullama_result,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_create(
        context: *mut mullama_context,
        prompt: *const ::std::os::raw::c_char,
        prompt_size: usize,
        params: *const mullama_generate_params,
        stream: *mut *mut mullama_stream,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_create_batch(
        context: *mut mullama_context,
        prompt: *const mullama_batch,
        params: *const mullama_generate_params,
        stream: *mut *mut mullama_stream,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_create_chat(
        context: *mut mullama_context,
        messages_json: *const ::std::os::raw::c_char,
        params: *const mullama_generate_params,
        stream: *mut *mut mullama_stream,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_next(
        stream: *mut mullama_stream,
        token: *mut mullama_stream_token,
        has_token: *mut bool,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_poll(stream: *mut mullama_stream, ready: *mut bool) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_stop(stream: *mut mullama_stream) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_result(
        stream: *const mullama_stream,
        result: *mut mullama_result,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_stream_free(stream: *mut mullama_stream);
}
extern "C" {
    pub fn mullama_result_free(result: *mut mullama_result);
}
extern "C" {
    pub fn mullama_evaluate(
        context: *mut mullama_context,
        batch: *const mullama_batch,
        logits: *mut *const f32,
        n_vocab: *mut usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_embed(
        context: *mut mullama_context,
        text: *const ::std::os::raw::c_char,
        text_size: usize,
        pooling: mullama_pooling,
        normalize: bool,
        embedding: *mut f32,
        capacity: usize,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_batch_create(batch: *mut *mut mullama_batch) -> mullama_status;
}
extern "C" {
    pub fn mullama_batch_free(batch: *mut mullama_batch);
}
extern "C" {
    pub fn mullama_batch_add(batch: *mut mullama_batch, token: mullama_token) -> mullama_status;
}
extern "C" {
    pub fn mullama_batch_clear(batch: *mut mullama_batch);
}
extern "C" {
    pub fn mullama_batch_size(batch: *const mullama_batch) -> usize;
}
extern "C" {
    pub fn mullama_sampler_create(
        model: *const mullama_model,
        params: *const mullama_sampler_params,
        sampler: *mut *mut mullama_sampler,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_sampler_free(sampler: *mut mullama_sampler);
}
extern "C" {
    pub fn mullama_sampler_sample(
        sampler: *mut mullama_sampler,
        logits: *const f32,
        n_logits: usize,
        token: *mut mullama_token,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_sampler_accept(
        sampler: *mut mullama_sampler,
        token: mullama_token,
    ) -> mullama_status;
}
extern "C" {
    pub fn mullama_sampler_reset(sampler: *mut mullama_sampler);
}
