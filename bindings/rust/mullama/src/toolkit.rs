use crate::error::check;
use crate::{Model, MullamaError, SamplerParams, Token};
use mullama_sys as sys;
use std::ptr::{self, NonNull};

/// Token ids of one evaluation, for callers that build their own loops.
#[derive(Debug)]
pub struct Batch {
    raw: NonNull<sys::mullama_batch>,
}

// SAFETY: a batch is used by one thread at a time, any of them; shared references only read.
unsafe impl Send for Batch {}
unsafe impl Sync for Batch {}

impl Batch {
    /// An empty one.
    pub fn new() -> Result<Self, MullamaError> {
        let mut raw = ptr::null_mut();
        check(unsafe { sys::mullama_batch_create(&mut raw) })?;
        Ok(Self { raw: NonNull::new(raw).expect("a created batch is not NULL") })
    }

    /// One that holds these tokens.
    pub fn from_tokens(tokens: &[Token]) -> Result<Self, MullamaError> {
        let mut batch = Self::new()?;
        for token in tokens {
            batch.add(*token)?;
        }
        Ok(batch)
    }

    pub(crate) fn raw(&self) -> *mut sys::mullama_batch {
        self.raw.as_ptr()
    }

    /// Appends a token.
    pub fn add(&mut self, token: Token) -> Result<(), MullamaError> {
        check(unsafe { sys::mullama_batch_add(self.raw(), token) })
    }
    /// Forgets the tokens.
    pub fn clear(&mut self) {
        unsafe { sys::mullama_batch_clear(self.raw()) }
    }
    /// How many tokens it holds.
    pub fn len(&self) -> usize {
        unsafe { sys::mullama_batch_size(self.raw()) }
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is freed once.
        unsafe { sys::mullama_batch_free(self.raw()) }
    }
}

/// Chooses tokens from logits by the same chain that the generating functions use.
#[derive(Debug)]
pub struct SamplerChain {
    raw: NonNull<sys::mullama_sampler>,
}

// SAFETY: a chain is used by one thread at a time, any of them.
unsafe impl Send for SamplerChain {}

impl SamplerChain {
    /// For this model's vocabulary. The chain keeps what it needs of the model alive.
    pub fn new(model: &Model, params: &SamplerParams) -> Result<Self, MullamaError> {
        let params = params.to_c()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the parameters outlive the call.
        check(unsafe { sys::mullama_sampler_create(model.raw(), &params.raw, &mut raw) })?;
        Ok(Self { raw: NonNull::new(raw).expect("a created chain is not NULL") })
    }

    /// Chooses a token; `logits` has as many values as the vocabulary has tokens.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Token, MullamaError> {
        let mut token = -1;
        // SAFETY: the row holds as many values as its length says.
        check(unsafe { sys::mullama_sampler_sample(self.raw.as_ptr(), logits.as_ptr(), logits.len(), &mut token) })?;
        Ok(token)
    }
    /// Tells the penalties what was chosen.
    pub fn accept(&mut self, token: Token) -> Result<(), MullamaError> {
        check(unsafe { sys::mullama_sampler_accept(self.raw.as_ptr(), token) })
    }
    /// Forgets what was chosen.
    pub fn reset(&mut self) {
        unsafe { sys::mullama_sampler_reset(self.raw.as_ptr()) }
    }
}

impl Drop for SamplerChain {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is freed once.
        unsafe { sys::mullama_sampler_free(self.raw.as_ptr()) }
    }
}
