use crate::error::check;
use crate::params::initialized;
use crate::{MullamaError, Token};
use mullama_sys as sys;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// One piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamToken {
    /// `None` in a last piece of held back text.
    pub id: Option<Token>,
    /// Complete characters; may be empty.
    pub text: String,
    /// Natural logarithm of the token's probability before the sampler chain.
    pub logprob: f32,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop text was found.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The caller ended it.
    Canceled,
    /// The context has no room left.
    ContextFull,
}

impl std::fmt::Display for FinishReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Canceled => "canceled",
            FinishReason::ContextFull => "context_full",
        })
    }
}

/// What one request took, in bytes and pages.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub kv_bytes: u64,
    pub peak_scratch: u64,
    pub prefix_bytes_reused: u64,
    pub pages_evicted: u64,
    pub tokens_cut: u64,
    /// Times that a larger context took over,
    pub context_growths: u64,
    /// and of them those with keys or values in a smaller type.
    pub kv_demotions: u64,
}

/// An answer and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateResult {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// With which the same answer comes again.
    pub seed: u64,
    /// Tokens of the prompt, reused ones included.
    pub prompt_tokens: u32,
    /// Those that were computed.
    pub prompt_evaluated: u32,
    /// Tokens of the answer.
    pub generated_tokens: u32,
    /// Guessed by lookup,
    pub drafted_tokens: u32,
    /// and of them those that were right.
    pub accepted_tokens: u32,
    /// Time for the prompt.
    pub prompt_seconds: f64,
    /// Time for the answer.
    pub generate_seconds: f64,
    /// Memory.
    pub receipt: Receipt,
}

/// An answer under way: an iterator over its tokens. Dropping it ends the answer; the context keeps exactly what was given.
#[derive(Debug)]
pub struct TokenStream<'context> {
    raw: NonNull<sys::mullama_stream>,
    failed: bool,
    context: PhantomData<&'context mut ()>,
}

// SAFETY: a stream is used by one thread at a time, any of them.
unsafe impl Send for TokenStream<'_> {}

impl TokenStream<'_> {
    pub(crate) fn new(raw: NonNull<sys::mullama_stream>) -> Self {
        Self { raw, failed: false, context: PhantomData }
    }

    /// Ends the answer now; its result says canceled.
    pub fn stop(&mut self) -> Result<(), MullamaError> {
        check(unsafe { sys::mullama_stream_stop(self.raw.as_ptr()) })
    }

    /// What the answer took, once it has ended.
    pub fn result(&self) -> Result<GenerateResult, MullamaError> {
        // SAFETY: the result's arrays are copied before it is freed.
        unsafe {
            let mut raw = initialized(sys::mullama_result_init);
            check(sys::mullama_stream_result(self.raw.as_ptr(), &mut raw))?;
            let text = std::slice::from_raw_parts(raw.text as *const u8, raw.text_size);
            let result = GenerateResult {
                text: String::from_utf8_lossy(text).into_owned(),
                tokens: std::slice::from_raw_parts(raw.tokens, raw.n_tokens).to_vec(),
                finish_reason: match raw.finish_reason {
                    sys::MULLAMA_FINISH_STOP => FinishReason::Stop,
                    sys::MULLAMA_FINISH_LENGTH => FinishReason::Length,
                    sys::MULLAMA_FINISH_CONTEXT_FULL => FinishReason::ContextFull,
                    _ => FinishReason::Canceled,
                },
                seed: raw.seed,
                prompt_tokens: raw.prompt_tokens,
                prompt_evaluated: raw.prompt_evaluated,
                generated_tokens: raw.generated_tokens,
                drafted_tokens: raw.drafted_tokens,
                accepted_tokens: raw.accepted_tokens,
                prompt_seconds: raw.prompt_seconds,
                generate_seconds: raw.generate_seconds,
                receipt: Receipt {
                    kv_bytes: raw.receipt.kv_bytes,
                    peak_scratch: raw.receipt.peak_scratch,
                    prefix_bytes_reused: raw.receipt.prefix_bytes_reused,
                    pages_evicted: raw.receipt.pages_evicted,
                    tokens_cut: raw.receipt.tokens_cut,
                    context_growths: raw.receipt.context_growths,
                    kv_demotions: raw.receipt.kv_demotions,
                },
            };
            sys::mullama_result_free(&mut raw);
            Ok(result)
        }
    }
}

impl Iterator for TokenStream<'_> {
    type Item = Result<StreamToken, MullamaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut more = false;
        // SAFETY: the piece's text is valid until the stream's next call, and copied at once.
        unsafe {
            let mut raw = initialized(sys::mullama_stream_token_init);
            if let Err(error) = check(sys::mullama_stream_next(self.raw.as_ptr(), &mut raw, &mut more)) {
                self.failed = true;
                return Some(Err(error));
            }
            if !more {
                return None;
            }
            let text = std::slice::from_raw_parts(raw.text as *const u8, raw.text_size);
            Some(Ok(StreamToken {
                id: Some(raw.token).filter(|token| *token >= 0),
                text: String::from_utf8_lossy(text).into_owned(),
                logprob: raw.logprob,
            }))
        }
    }
}

impl Drop for TokenStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is freed once.
        unsafe { sys::mullama_stream_free(self.raw.as_ptr()) }
    }
}
