#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod context;
mod error;
mod memory;
mod model;
mod params;
mod stream;
mod toolkit;

pub use context::{CancelHandle, ChatMessage, Context, Pooling, Prompt};
pub use error::MullamaError;
pub use memory::{
    live_objects, memory_pools, plan, set_memory_budget, LiveObjects, MemoryInfo, MemoryPlan, PlanAlternative, PlanRow, PoolUsage,
    Residency,
};
pub use model::{Model, ModelBuilder};
pub use params::{ContextParams, GenerateOptions, KvCacheType, ModelParams, SamplerParams};
pub use stream::{FinishReason, GenerateResult, Receipt, StreamToken, TokenStream};
pub use toolkit::{Batch, SamplerChain};

/// The number of a token in its model's vocabulary.
pub type Token = i32;

/// The library's version.
pub fn version() -> String {
    // SAFETY: a static string.
    unsafe { error::text_of(mullama_sys::mullama_version()) }
}

/// The guide's samples as doctests: what they lean on is in hidden lines.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/guide_samples.md"))]
pub mod r32_x10_guide_samples {}
