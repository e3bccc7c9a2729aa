use crate::error::{c_text, check};
use crate::params::initialized;
use crate::stream::{GenerateResult, TokenStream};
use crate::{Batch, ContextParams, GenerateOptions, MemoryInfo, Model, MullamaError, Token};
use mullama_sys as sys;
use std::fmt;
use std::os::raw::c_char;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};

struct RawContext(NonNull<sys::mullama_context>);

// SAFETY: the functions that take `&mut Context` run on one thread at a time; the others may run on any, says the library.
unsafe impl Send for RawContext {}
unsafe impl Sync for RawContext {}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is freed once.
        unsafe { sys::mullama_context_free(self.0.as_ptr()) }
    }
}

/// One conversation's state: its tokens and their KV cache. Without [`clear`](Context::clear), the next answer continues the text.
pub struct Context {
    raw: Arc<RawContext>,
    model: Arc<Model>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// "system", "user" or "assistant".
    pub role: String,
    /// The text.
    pub content: String,
}

impl ChatMessage {
    /// A message of this role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
    /// A message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }
    pub(crate) fn to_json(messages: &[Self]) -> String {
        let list: Vec<_> = messages
            .iter()
            .map(|message| serde_json::json!({"role": message.role, "content": message.content}))
            .collect();
        serde_json::Value::Array(list).to_string()
    }
}

/// What an answer continues: raw text, token ids, or a conversation.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// Raw text.
    Text(&'a str),
    /// Token ids.
    Tokens(&'a [Token]),
    /// A conversation, for the model's chat template.
    Chat(&'a [ChatMessage]),
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Prompt::Text(text)
    }
}
impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Prompt::Text(text)
    }
}
impl<'a> From<&'a [Token]> for Prompt<'a> {
    fn from(tokens: &'a [Token]) -> Self {
        Prompt::Tokens(tokens)
    }
}
impl<'a> From<&'a Vec<Token>> for Prompt<'a> {
    fn from(tokens: &'a Vec<Token>) -> Self {
        Prompt::Tokens(tokens)
    }
}
impl<'a> From<&'a [ChatMessage]> for Prompt<'a> {
    fn from(messages: &'a [ChatMessage]) -> Self {
        Prompt::Chat(messages)
    }
}

/// How the rows of a text's tokens become one embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The average over all tokens.
    Mean,
    /// The first token's row.
    First,
    /// The last token's row.
    Last,
}

impl Context {
    /// Takes the memory of a context on a model.
    pub fn new(model: Arc<Model>, params: ContextParams) -> Result<Self, MullamaError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the parameters outlive the call.
        check(unsafe { sys::mullama_context_create(model.raw(), &params.to_c(), &mut raw) })?;
        let raw = NonNull::new(raw).expect("a created context is not NULL");
        Ok(Self { raw: Arc::new(RawContext(raw)), model })
    }

    fn raw(&self) -> *mut sys::mullama_context {
        self.raw.0.as_ptr()
    }

    /// Continues the raw text `prompt` by at most `max_tokens` tokens; -1: until the model stops or the context is full.
    pub fn generate(&mut self, prompt: &str, max_tokens: i32) -> Result<String, MullamaError> {
        let options = GenerateOptions { max_tokens, ..GenerateOptions::default() };
        Ok(self.generate_with(prompt, &options)?.text)
    }

    /// The same with all options, and all that is known about the answer.
    pub fn generate_with<'p>(
        &mut self,
        prompt: impl Into<Prompt<'p>>,
        options: &GenerateOptions,
    ) -> Result<GenerateResult, MullamaError> {
        let mut stream = self.generate_stream(prompt, options)?;
        for token in &mut stream {
            token?;
        }
        stream.result()
    }

    /// The same token by token, each computed when it is asked for. Dropping the iterator ends the answer.
    pub fn generate_stream<'p>(
        &mut self,
        prompt: impl Into<Prompt<'p>>,
        options: &GenerateOptions,
    ) -> Result<TokenStream<'_>, MullamaError> {
        let options = options.to_c()?;
        let mut raw = ptr::null_mut();
        // SAFETY: text, tokens and options outlive the calls.
        check(unsafe {
            match prompt.into() {
                Prompt::Text(text) => {
                    sys::mullama_stream_create(self.raw(), text.as_ptr() as *const c_char, text.len(), &options.raw, &mut raw)
                }
                Prompt::Tokens(tokens) => {
                    let batch = Batch::from_tokens(tokens)?;
                    sys::mullama_stream_create_batch(self.raw(), batch.raw(), &options.raw, &mut raw)
                }
                Prompt::Chat(messages) => {
                    let json = c_text(&ChatMessage::to_json(messages), "the messages")?;
                    sys::mullama_stream_create_chat(self.raw(), json.as_ptr(), &options.raw, &mut raw)
                }
            }
        })?;
        Ok(TokenStream::new(NonNull::new(raw).expect("a created stream is not NULL")))
    }

    /// Answers a conversation by the model's chat template.
    pub fn chat(&mut self, messages: &[ChatMessage], max_tokens: i32) -> Result<String, MullamaError> {
        let options = GenerateOptions { max_tokens, ..GenerateOptions::default() };
        Ok(self.generate_with(messages, &options)?.text)
    }

    /// Appends tokens; the logits after the last one, as many as the vocabulary has tokens.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<&[f32], MullamaError> {
        let (mut logits, mut count) = (ptr::null(), 0);
        // SAFETY: the row is valid until the context's next call, which the borrow of `self` forbids meanwhile.
        unsafe {
            check(sys::mullama_evaluate(self.raw(), batch.raw(), &mut logits, &mut count))?;
            Ok(std::slice::from_raw_parts(logits, count))
        }
    }

    /// The embedding of a text, of length 1 if `normalize`; the context is cleared.
    pub fn embed(&mut self, text: &str, pooling: Pooling, normalize: bool) -> Result<Vec<f32>, MullamaError> {
        let mut row = vec![0.0; self.model.n_embd() as usize];
        let pooling = match pooling {
            Pooling::Mean => sys::MULLAMA_POOLING_MEAN,
            Pooling::First => sys::MULLAMA_POOLING_FIRST,
            Pooling::Last => sys::MULLAMA_POOLING_LAST,
        };
        // SAFETY: the row holds as many values as its length says.
        check(unsafe {
            sys::mullama_embed(
                self.raw(),
                text.as_ptr() as *const c_char,
                text.len(),
                pooling,
                normalize,
                row.as_mut_ptr(),
                row.len(),
            )
        })?;
        Ok(row)
    }

    /// Starts over without reallocating.
    pub fn clear(&mut self) -> Result<(), MullamaError> {
        check(unsafe { sys::mullama_context_clear(self.raw()) })
    }

    /// Gives the physical memory of unused KV pages back to the system.
    pub fn release_idle(&mut self) -> Result<(), MullamaError> {
        check(unsafe { sys::mullama_context_release_idle(self.raw()) })
    }

    /// Lets another thread end what this context computes.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::downgrade(&self.raw))
    }

    /// Memory behind this context.
    pub fn memory_info(&self) -> Result<MemoryInfo, MullamaError> {
        let mut raw = unsafe { initialized(sys::mullama_memory_info_init) };
        check(unsafe { sys::mullama_context_memory_info(self.raw(), &mut raw) })?;
        MemoryInfo::from_c(&raw)
    }

    /// Tokens in the context.
    pub fn token_count(&self) -> u32 {
        unsafe { sys::mullama_context_token_count(self.raw()) }
    }

    /// Tokens it has room for.
    pub fn context_size(&self) -> u32 {
        unsafe { sys::mullama_context_size(self.raw()) }
    }

    /// The model, which this context keeps alive.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Context({}/{} tokens)", self.token_count(), self.context_size())
    }
}

/// Ends what a context computes, from any thread.
#[derive(Clone)]
pub struct CancelHandle(Weak<RawContext>);

impl CancelHandle {
    /// A running answer ends after its current step; without one nothing happens.
    pub fn cancel(&self) {
        if let Some(context) = self.0.upgrade() {
            // SAFETY: the handle is alive.
            unsafe { sys::mullama_context_cancel(context.0.as_ptr()) }
        }
    }
}
