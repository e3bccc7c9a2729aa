use mullama::{Model, Context, ContextParams};
use std::sync::Arc;

fn process_query(prompt: &str) -> Result<String, mullama::MullamaError> {
    let model = Arc::new(Model::load("model.gguf")?);
    let mut context = Context::new(model, ContextParams::default())?;
    let response = context.generate(prompt, 200)?;

    // model and context are dropped here, freeing all C++ resources
    // via their Drop implementations
    Ok(response)
}
