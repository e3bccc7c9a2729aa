use crate::error::c_text;
use crate::{MullamaError, Token};
use mullama_sys as sys;
use std::ffi::CString;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::os::raw::c_char;
use std::ptr;
use std::str::FromStr;
use std::sync::Arc;

/// How keys and values of past tokens are kept.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvCacheType {
    F32,
    #[default]
    F16,
    BF16,
    Q8_0,
    Q4_0,
}

impl KvCacheType {
    const ALL: [KvCacheType; 5] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_0];

    pub(crate) fn to_c(self) -> sys::mullama_kv_cache_type {
        self as sys::mullama_kv_cache_type
    }
    pub(crate) fn from_c(value: sys::mullama_kv_cache_type) -> Self {
        Self::ALL.into_iter().find(|kind| kind.to_c() == value).unwrap_or_default()
    }
}

impl fmt::Display for KvCacheType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(["f32", "f16", "bf16", "q8_0", "q4_0"][*self as usize])
    }
}

impl FromStr for KvCacheType {
    type Err = MullamaError;
    fn from_str(name: &str) -> Result<Self, MullamaError> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == name).ok_or_else(|| {
            MullamaError::InvalidArgument(format!("unknown KV cache type \"{name}\"; choose one of f32, f16, bf16, q8_0, q4_0"))
        })
    }
}

/// Receives one line a warning.
pub(crate) type WarningReceiver = Arc<dyn Fn(&str) + Send + Sync>;

/// How a model is loaded.
#[derive(Clone)]
pub struct ModelParams {
    /// Map the file (default), or copy the weights into memory of the process.
    pub use_mmap: bool,
    /// Lock weights and KV cache in memory, as far as the limit allows.
    pub use_mlock: bool,
    /// Fail the load if not everything can be locked.
    pub mlock_required: bool,
    /// Layers to offload; -1 is all. Without a GPU backend: a warning, then the CPU.
    pub n_gpu_layers: i32,
    /// 0: as many as the process may use.
    pub n_threads: u32,
    /// Tokenizer and metadata without weights.
    pub vocab_only: bool,
    /// "scalar", "avx2", ...; empty: the fastest that runs here.
    pub isa: String,
    /// Overrides the file's own; empty: as the file says.
    pub pre_tokenizer: String,
    /// Receives one line a warning; `None`: standard error.
    pub on_warning: Option<Arc<dyn Fn(&str) + Send + Sync>>,
}

impl Default for ModelParams {
    fn default() -> Self {
        Self {
            use_mmap: true,
            use_mlock: false,
            mlock_required: false,
            n_gpu_layers: 0,
            n_threads: 0,
            vocab_only: false,
            isa: String::new(),
            pre_tokenizer: String::new(),
            on_warning: None,
        }
    }
}

impl fmt::Debug for ModelParams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ModelParams")
            .field("use_mmap", &self.use_mmap)
            .field("use_mlock", &self.use_mlock)
            .field("n_gpu_layers", &self.n_gpu_layers)
            .field("n_threads", &self.n_threads)
            .finish_non_exhaustive()
    }
}

/// The C struct, and the strings that it points into.
pub(crate) struct CModelParams {
    pub raw: sys::mullama_model_params,
    _strings: [CString; 2],
}

impl ModelParams {
    /// Without the receiver of warnings, which the caller adds.
    pub(crate) fn to_c(&self) -> Result<CModelParams, MullamaError> {
        let strings = [c_text(&self.isa, "isa")?, c_text(&self.pre_tokenizer, "pre_tokenizer")?];
        let mut raw = unsafe { initialized(sys::mullama_model_params_init) };
        raw.use_mmap = self.use_mmap;
        raw.use_mlock = self.use_mlock;
        raw.mlock_required = self.mlock_required;
        raw.vocab_only = self.vocab_only;
        raw.n_gpu_layers = self.n_gpu_layers;
        raw.n_threads = self.n_threads;
        raw.isa = strings[0].as_ptr();
        raw.pre_tokenizer = strings[1].as_ptr();
        Ok(CModelParams { raw, _strings: strings })
    }
}

/// The size and kind of a context's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextParams {
    /// Tokens it holds; 0: 4096, or what the model was trained for if that is less.
    pub n_ctx: u32,
    /// Tokens computed at once while reading a prompt.
    pub n_batch: u32,
    /// Of keys and values.
    pub kv_cache_type: KvCacheType,
    /// Of values, if not as for keys.
    pub kv_cache_type_v: Option<KvCacheType>,
    /// Rotate before quantizing to q8_0 or q4_0, which keeps more of the precision.
    pub kv_rotate: bool,
    /// Tokens that a step may guess from the text so far; answers are the same, and sooner where they repeat.
    pub lookup: u32,
    /// Whether an answer that fills the context goes on in a larger one, as far as the budget reaches; the receipt counts how often.
    pub grow: bool,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self {
            n_ctx: 0,
            n_batch: 512,
            kv_cache_type: KvCacheType::F16,
            kv_cache_type_v: None,
            kv_rotate: true,
            lookup: 0,
            grow: false,
        }
    }
}

impl ContextParams {
    pub(crate) fn to_c(&self) -> sys::mullama_context_params {
        let mut raw = unsafe { initialized(sys::mullama_context_params_init) };
        raw.n_ctx = self.n_ctx;
        raw.n_batch = self.n_batch;
        raw.kv_cache_type = self.kv_cache_type.to_c();
        raw.kv_cache_type_v = self.kv_cache_type_v.map_or(sys::MULLAMA_KV_SAME, KvCacheType::to_c);
        raw.kv_rotate = self.kv_rotate;
        raw.lookup = self.lookup;
        raw.grow = self.grow;
        raw
    }
}

/// How the next token is chosen; names and defaults as users of this field know them.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerParams {
    /// `None`: a random one, which the result tells.
    pub seed: Option<u64>,
    /// 0: always the most likely token.
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
    pub dry_sequence_breakers: Vec<String>,
    pub mirostat: i32,
    pub mirostat_tau: f32,
    pub mirostat_eta: f32,
    pub logit_bias: Vec<(Token, f32)>,
    /// As in "penalties;dry;top_k;typical_p;top_p;min_p;xtc;temperature"; empty: the default order.
    pub order: String,
}

impl Default for SamplerParams {
    fn default() -> Self {
        let raw = unsafe { initialized(sys::mullama_sampler_params_init) };
        Self {
            seed: None,
            temperature: raw.temperature,
            dynamic_temperature_range: raw.dynamic_temperature_range,
            dynamic_temperature_exponent: raw.dynamic_temperature_exponent,
            top_k: raw.top_k,
            top_p: raw.top_p,
            min_p: raw.min_p,
            typical_p: raw.typical_p,
            xtc_probability: raw.xtc_probability,
            xtc_threshold: raw.xtc_threshold,
            repeat_penalty: raw.repeat_penalty,
            repeat_last_n: raw.repeat_last_n,
            frequency_penalty: raw.frequency_penalty,
            presence_penalty: raw.presence_penalty,
            dry_multiplier: raw.dry_multiplier,
            dry_base: raw.dry_base,
            dry_allowed_length: raw.dry_allowed_length,
            dry_penalty_last_n: raw.dry_penalty_last_n,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(String::from).to_vec(),
            mirostat: raw.mirostat,
            mirostat_tau: raw.mirostat_tau,
            mirostat_eta: raw.mirostat_eta,
            logit_bias: Vec::new(),
            order: String::new(),
        }
    }
}

/// The C struct, and what it points into.
pub(crate) struct CSamplerParams {
    pub raw: sys::mullama_sampler_params,
    _order: CString,
    _breakers: CStrings,
    _tokens: Vec<Token>,
    _biases: Vec<f32>,
}

impl SamplerParams {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    pub(crate) fn to_c(&self) -> Result<CSamplerParams, MullamaError> {
        let order = c_text(&self.order, "order")?;
        let breakers = CStrings::new(&self.dry_sequence_breakers, "a DRY sequence breaker")?;
        let (tokens, biases): (Vec<Token>, Vec<f32>) = self.logit_bias.iter().copied().unzip();
        let mut raw = unsafe { initialized(sys::mullama_sampler_params_init) };
        raw.has_seed = self.seed.is_some();
        raw.seed = self.seed.unwrap_or(0);
        raw.temperature = self.temperature;
        raw.dynamic_temperature_range = self.dynamic_temperature_range;
        raw.dynamic_temperature_exponent = self.dynamic_temperature_exponent;
        raw.top_k = self.top_k;
        raw.top_p = self.top_p;
        raw.min_p = self.min_p;
        raw.typical_p = self.typical_p;
        raw.xtc_probability = self.xtc_probability;
        raw.xtc_threshold = self.xtc_threshold;
        raw.repeat_penalty = self.repeat_penalty;
        raw.repeat_last_n = self.repeat_last_n;
        raw.frequency_penalty = self.frequency_penalty;
        raw.presence_penalty = self.presence_penalty;
        raw.dry_multiplier = self.dry_multiplier;
        raw.dry_base = self.dry_base;
        raw.dry_allowed_length = self.dry_allowed_length;
        raw.dry_penalty_last_n = self.dry_penalty_last_n;
        raw.mirostat = self.mirostat;
        raw.mirostat_tau = self.mirostat_tau;
        raw.mirostat_eta = self.mirostat_eta;
        raw.order = order.as_ptr();
        raw.dry_sequence_breakers = breakers.as_ptr();
        raw.n_dry_sequence_breakers = breakers.len();
        raw.logit_bias_tokens = tokens.as_ptr();
        raw.logit_bias_values = biases.as_ptr();
        raw.n_logit_bias = tokens.len();
        Ok(CSamplerParams { raw, _order: order, _breakers: breakers, _tokens: tokens, _biases: biases })
    }
}

/// What an answer may be.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// -1: until the model stops or the context is full.
    pub max_tokens: i32,
    /// How tokens are chosen.
    pub sampler: SamplerParams,
    /// Texts that end the answer, and are not part of it.
    pub stop: Vec<String>,
    /// Go on after tokens that end an answer.
    pub ignore_end_of_generation: bool,
    /// Whether special tokens in the prompt's text are parsed.
    pub parse_special: bool,
    /// Whether the texts of special tokens are part of the answer's text.
    pub render_special: bool,
    /// GBNF; empty: none.
    pub grammar: String,
    /// A JSON Schema, or "json"; empty: none.
    pub json_schema: String,
    /// For conversations: a JSON object of further variables of the template, such as `{"enable_thinking": false}`; empty: none.
    pub chat_variables: String,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: -1,
            sampler: SamplerParams::default(),
            stop: Vec::new(),
            ignore_end_of_generation: false,
            parse_special: true,
            render_special: false,
            grammar: String::new(),
            json_schema: String::new(),
            chat_variables: String::new(),
        }
    }
}

pub(crate) struct CGenerateParams {
    pub raw: sys::mullama_generate_params,
    _sampler: Box<CSamplerParams>,
    _stop: CStrings,
    _strings: [Option<CString>; 3],
}

impl GenerateOptions {
    pub(crate) fn to_c(&self) -> Result<CGenerateParams, MullamaError> {
        let optional = |text: &str, what| if text.is_empty() { Ok(None) } else { c_text(text, what).map(Some) };
        // In a box, so that it stays where the other struct points to.
        let sampler = Box::new(self.sampler.to_c()?);
        let stop = CStrings::new(&self.stop, "a stop string")?;
        let strings = [
            optional(&self.grammar, "grammar")?,
            optional(&self.json_schema, "json_schema")?,
            optional(&self.chat_variables, "chat_variables")?,
        ];
        let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let mut raw = unsafe { initialized(sys::mullama_generate_params_init) };
        raw.max_tokens = self.max_tokens;
        raw.sampler = &sampler.raw;
        raw.stop = stop.as_ptr();
        raw.n_stop = stop.len();
        raw.ignore_end_of_generation = self.ignore_end_of_generation;
        raw.parse_special = self.parse_special;
        raw.render_special = self.render_special;
        raw.grammar = pointer(&strings[0]);
        raw.json_schema = pointer(&strings[1]);
        raw.chat_variables = pointer(&strings[2]);
        Ok(CGenerateParams { raw, _sampler: sampler, _stop: stop, _strings: strings })
    }
}

/// Strings with the array of pointers that C wants.
struct CStrings {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    fn new(texts: &[String], what: &str) -> Result<Self, MullamaError> {
        let texts = texts.iter().map(|text| c_text(text, what)).collect::<Result<Vec<_>, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).collect();
        Ok(Self { _texts: texts, pointers })
    }
    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
    fn len(&self) -> usize {
        self.pointers.len()
    }
}

/// # Safety
/// `init` fills all of its struct.
pub(crate) unsafe fn initialized<T>(init: unsafe extern "C" fn(*mut T, usize)) -> T {
    let mut raw = MaybeUninit::zeroed();
    init(raw.as_mut_ptr(), mem::size_of::<T>());
    raw.assume_init()
}
