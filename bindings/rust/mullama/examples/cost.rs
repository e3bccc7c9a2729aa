//! What a call costs, and the rate of a streamed answer: bench/bindings tells more.

use mullama::{Context, ContextParams, GenerateOptions, Model, MullamaError, SamplerParams};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), MullamaError> {
    const CALLS: u32 = 5_000_000;
    let path = std::env::args().nth(1).expect("the path of a model");
    let mut context = Context::new(Arc::new(Model::load(path)?), ContextParams { n_ctx: 512, ..Default::default() })?;
    let options = GenerateOptions {
        max_tokens: 100,
        sampler: SamplerParams::greedy(),
        ignore_end_of_generation: true,
        ..Default::default()
    };
    let mut rate: f64 = 0.0;
    for _ in 0..3 {
        context.clear()?;
        let mut stream = context.generate_stream("Once upon a time", &options)?;
        stream.next();
        let start = Instant::now();
        let tokens = stream.count();
        rate = rate.max(tokens as f64 / start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(black_box(&context).token_count());
    }
    let nanoseconds = start.elapsed().as_secs_f64() / f64::from(CALLS) * 1e9;
    println!("rust call_ns {nanoseconds:.2} tokens_per_second {rate:.2}");
    Ok(())
}
