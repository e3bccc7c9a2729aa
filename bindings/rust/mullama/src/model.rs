use crate::error::{c_text, check, take_text};
use crate::params::WarningReceiver;
use crate::{ChatMessage, ModelParams, MullamaError, Token};
use mullama_sys as sys;
use std::ffi::{c_void, CStr};
use std::fmt;
use std::os::raw::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

/// A loaded model. Put it into an `Arc` to share it among contexts, which keep it alive.
pub struct Model {
    raw: NonNull<sys::mullama_model>,
    /// The library calls it while the model, or a context of it, lives.
    _receiver: Option<Box<WarningReceiver>>,
}

// SAFETY: the library says that a model may be used from many threads at once.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

unsafe extern "C" fn warn(line: *const c_char, user: *mut c_void) {
    let receiver = &*(user as *const WarningReceiver);
    let line = CStr::from_ptr(line).to_string_lossy();
    // A panic must not cross into C++; the panic's message has been printed.
    let _ = catch_unwind(AssertUnwindSafe(|| receiver(&line)));
}

impl Model {
    /// Loads a GGUF file with the default parameters.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, MullamaError> {
        Self::load_with_params(path, &ModelParams::default())
    }

    /// Loads a GGUF file.
    pub fn load_with_params(path: impl AsRef<Path>, params: &ModelParams) -> Result<Self, MullamaError> {
        let path = path_text(path.as_ref())?;
        let path = c_text(&path, "the path")?;
        let mut native = params.to_c()?;
        let receiver = params.on_warning.clone().map(Box::new);
        if let Some(receiver) = &receiver {
            native.raw.on_warning = Some(warn);
            native.raw.warning_user = &**receiver as *const WarningReceiver as *mut c_void;
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the strings outlive the call, the receiver the model.
        check(unsafe { sys::mullama_model_load(path.as_ptr(), &native.raw, &mut raw) })?;
        Ok(Self { raw: NonNull::new(raw).expect("a loaded model is not NULL"), _receiver: receiver })
    }

    pub(crate) fn raw(&self) -> *const sys::mullama_model {
        self.raw.as_ptr()
    }

    /// The token ids of a text.
    pub fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<Token>, MullamaError> {
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        loop {
            let mut count = 0;
            // SAFETY: `tokens` holds as many as its length says.
            check(unsafe {
                sys::mullama_tokenize(
                    self.raw(),
                    text.as_ptr() as *const c_char,
                    text.len(),
                    add_special,
                    parse_special,
                    tokens.as_mut_ptr(),
                    tokens.len(),
                    &mut count,
                )
            })?;
            let fits = count <= tokens.len();
            tokens.resize(count, 0);
            if fits {
                return Ok(tokens);
            }
        }
    }

    /// The text of token ids.
    pub fn detokenize(&self, tokens: &[Token], render_special: bool) -> Result<String, MullamaError> {
        let (mut text, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the pointers are valid for the call.
        check(unsafe {
            sys::mullama_detokenize(self.raw(), tokens.as_ptr(), tokens.len(), render_special, &mut text, &mut size)
        })?;
        Ok(String::from_utf8_lossy(&take_bytes(text, size)).into_owned())
    }

    /// The bytes of one token, which may be a part of a character.
    pub fn token_piece(&self, token: Token, render_special: bool) -> Result<Vec<u8>, MullamaError> {
        let (mut bytes, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the pointers are valid for the call.
        check(unsafe { sys::mullama_token_piece(self.raw(), token, render_special, &mut bytes, &mut size) })?;
        Ok(take_bytes(bytes, size))
    }

    /// The prompt of a conversation, by the template in the model's file.
    pub fn apply_chat_template(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, MullamaError> {
        self.apply_chat_template_json(&ChatMessage::to_json(messages), None, None, add_generation_prompt)
    }

    /// The same from JSON arrays in OpenAI's shape, with tools, and with an object of further variables of the template.
    pub fn apply_chat_template_json(
        &self,
        messages: &str,
        tools: Option<&str>,
        variables: Option<&str>,
        add_generation_prompt: bool,
    ) -> Result<String, MullamaError> {
        let messages = c_text(messages, "the messages")?;
        let tools = tools.map(|tools| c_text(tools, "the tools")).transpose()?;
        let variables = variables.map(|variables| c_text(variables, "the variables")).transpose()?;
        let (mut text, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the strings outlive the call.
        check(unsafe {
            sys::mullama_apply_chat_template(
                self.raw(),
                messages.as_ptr(),
                tools.as_ref().map_or(ptr::null(), |tools| tools.as_ptr()),
                variables.as_ref().map_or(ptr::null(), |variables| variables.as_ptr()),
                add_generation_prompt,
                &mut text,
                &mut size,
            )
        })?;
        Ok(String::from_utf8_lossy(&take_bytes(text, size)).into_owned())
    }

    /// Such as "llama".
    pub fn architecture(&self) -> String {
        // SAFETY: the string is taken over.
        unsafe { take_text(sys::mullama_model_architecture(self.raw())) }
    }
    /// As the file says.
    pub fn name(&self) -> String {
        // SAFETY: the string is taken over.
        unsafe { take_text(sys::mullama_model_name(self.raw())) }
    }
    /// Tokens of the vocabulary.
    pub fn vocab_size(&self) -> u32 {
        unsafe { sys::mullama_model_vocab_size(self.raw()) }
    }
    /// Layers.
    pub fn n_layer(&self) -> u32 {
        unsafe { sys::mullama_model_n_layer(self.raw()) }
    }
    /// Width of an embedding.
    pub fn n_embd(&self) -> u32 {
        unsafe { sys::mullama_model_n_embd(self.raw()) }
    }
    /// Tokens of context that the model was trained for.
    pub fn n_ctx_train(&self) -> u32 {
        unsafe { sys::mullama_model_n_ctx_train(self.raw()) }
    }
    /// Weights, counted.
    pub fn parameter_count(&self) -> u64 {
        unsafe { sys::mullama_model_parameter_count(self.raw()) }
    }
    /// Bytes of the weights, mapped or owned.
    pub fn size_bytes(&self) -> u64 {
        unsafe { sys::mullama_model_size_bytes(self.raw()) }
    }
    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<Token> {
        Some(unsafe { sys::mullama_model_bos(self.raw()) }).filter(|token| *token >= 0)
    }
    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<Token> {
        Some(unsafe { sys::mullama_model_eos(self.raw()) }).filter(|token| *token >= 0)
    }
    /// Whether a token ends an answer.
    pub fn is_end_of_generation(&self, token: Token) -> bool {
        unsafe { sys::mullama_model_is_end_of_generation(self.raw(), token) }
    }
    /// A metadata value as text; `None` if the file has no such key.
    pub fn metadata(&self, key: &str) -> Result<Option<String>, MullamaError> {
        let key = c_text(key, "the key")?;
        let mut value = ptr::null_mut();
        // SAFETY: the string is taken over.
        unsafe {
            match check(sys::mullama_model_metadata(self.raw(), key.as_ptr(), &mut value)) {
                Ok(()) => Ok(Some(take_text(value))),
                Err(MullamaError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
    /// All metadata as text, in the file's order.
    pub fn all_metadata(&self) -> Result<Vec<(String, String)>, MullamaError> {
        let count = unsafe { sys::mullama_model_metadata_count(self.raw()) };
        (0..count)
            .map(|index| {
                let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
                // SAFETY: both strings are taken over.
                unsafe {
                    check(sys::mullama_model_metadata_at(self.raw(), index, &mut key, &mut value))?;
                    Ok((take_text(key), take_text(value)))
                }
            })
            .collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is freed once.
        unsafe { sys::mullama_model_free(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Model({:?}, {}, {} bytes)", self.name(), self.architecture(), self.size_bytes())
    }
}

/// Collects load options, then loads.
#[derive(Debug, Clone)]
pub struct ModelBuilder {
    path: PathBuf,
    params: ModelParams,
}

impl ModelBuilder {
    /// For the file of this path, with the default parameters.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), params: ModelParams::default() }
    }
    /// Map the file, or copy the weights into memory of the process.
    pub fn with_use_mmap(mut self, on: bool) -> Self {
        self.params.use_mmap = on;
        self
    }
    /// Lock weights and KV cache in memory, as far as the limit allows.
    pub fn with_use_mlock(mut self, on: bool) -> Self {
        self.params.use_mlock = on;
        self
    }
    /// Layers to offload; -1 is all.
    pub fn with_n_gpu_layers(mut self, layers: i32) -> Self {
        self.params.n_gpu_layers = layers;
        self
    }
    /// Threads to compute with; 0: as many as the process may use.
    pub fn with_n_threads(mut self, threads: u32) -> Self {
        self.params.n_threads = threads;
        self
    }
    /// Receives one line a warning.
    pub fn with_on_warning(mut self, receiver: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.params.on_warning = Some(std::sync::Arc::new(receiver));
        self
    }
    /// Loads.
    pub fn build(self) -> Result<Model, MullamaError> {
        Model::load_with_params(&self.path, &self.params)
    }
}

pub(crate) fn path_text(path: &Path) -> Result<String, MullamaError> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(MullamaError::InvalidArgument(format!("the path {} is not UTF-8", path.display()))),
    }
}

/// Takes over bytes that the C interface gave away.
fn take_bytes(bytes: *mut c_char, size: usize) -> Vec<u8> {
    // SAFETY: the library gave `size` bytes, which mullama_string_free() frees.
    unsafe {
        let copy = std::slice::from_raw_parts(bytes as *const u8, size).to_vec();
        sys::mullama_string_free(bytes);
        copy
    }
}
