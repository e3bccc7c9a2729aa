use mullama::{Model, Context, ContextParams};
use std::sync::Arc;

// Wrap in Arc for shared ownership
let model = Arc::new(Model::load("model.gguf")?);

// Clone Arc (cheap reference count increment)
let ctx1 = Context::new(Arc::clone(&model), ContextParams::default())?;
let ctx2 = Context::new(Arc::clone(&model), ContextParams::default())?;
let ctx3 = Context::new(Arc::clone(&model), ContextParams::default())?;

// Model is freed when the last Arc reference is dropped
