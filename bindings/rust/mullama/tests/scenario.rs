//! Replays tests/scenario.json: the lines must be those of C++ (B7).

mod support;

use mullama::{
    plan, set_memory_budget, ChatMessage, Context, ContextParams, GenerateOptions, GenerateResult, Model, ModelParams, MullamaError,
    SamplerParams,
};
use serde_json::Value;
use std::env;
use std::fs;
use std::sync::Arc;

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

struct Player {
    path: String,
    model: Option<Arc<Model>>,
    context: Option<Context>,
}

fn params(step: &Value) -> Result<ContextParams, MullamaError> {
    Ok(ContextParams {
        n_ctx: step["n_ctx"].as_u64().unwrap() as u32,
        n_batch: step["n_batch"].as_u64().unwrap_or(512) as u32,
        kv_cache_type: step["kv_cache_type"].as_str().unwrap().parse()?,
        ..Default::default()
    })
}

fn options(step: &Value) -> GenerateOptions {
    GenerateOptions {
        max_tokens: step["max_tokens"].as_i64().unwrap() as i32,
        ignore_end_of_generation: true,
        sampler: SamplerParams {
            temperature: step["temperature"].as_f64().unwrap_or(0.0) as f32,
            seed: step["seed"].as_u64(),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn prompt(step: &Value) -> String {
    step["prompt"].as_str().unwrap().repeat(step["repeat"].as_u64().unwrap_or(1) as usize)
}

fn line(result: &GenerateResult, token_count: u32) -> String {
    let tokens: Vec<_> = result.tokens.iter().map(ToString::to_string).collect();
    format!(
        "text={} tokens={} finish={} prompt_tokens={} prompt_evaluated={} token_count={token_count}",
        hex(&result.text),
        tokens.join(","),
        result.finish_reason,
        result.prompt_tokens,
        result.prompt_evaluated
    )
}

impl Player {
    fn tell(&mut self, step: &Value) -> Result<String, MullamaError> {
        let op = step["op"].as_str().unwrap();
        match op {
            "plan" => {
                let plan = plan(&self.path, &ModelParams::default(), &params(step)?)?;
                let kv: u64 = plan.rows.iter().filter(|row| row.pool == "kv").map(|row| row.bytes).sum();
                return Ok(format!(
                    "context_size={} key_type={} total={} kv={kv} fits={}",
                    plan.context_size, plan.key_type, plan.total, plan.fits
                ));
            }
            "load" => {
                let model = Model::load(step["path"].as_str().unwrap_or(&self.path))?;
                let told = format!(
                    "architecture={} vocab_size={} n_layer={} size_bytes={}",
                    model.architecture(),
                    model.vocab_size(),
                    model.n_layer(),
                    model.size_bytes()
                );
                self.model = Some(Arc::new(model));
                return Ok(told);
            }
            "context" => {
                let made = Context::new(Arc::clone(self.model.as_ref().unwrap()), params(step)?)?;
                self.context = Some(made);
                return Ok(format!("context_size={}", self.context.as_ref().unwrap().context_size()));
            }
            "budget" => {
                set_memory_budget(step["budget"].as_str().unwrap())?;
                return Ok("set".into());
            }
            _ => {}
        }
        let context = self.context.as_mut().unwrap();
        match op {
            "generate" => {
                let result = context.generate_with(&prompt(step), &options(step))?;
                Ok(line(&result, context.token_count()))
            }
            "chat" => {
                let messages: Vec<_> = step["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|message| ChatMessage::new(message["role"].as_str().unwrap(), message["content"].as_str().unwrap()))
                    .collect();
                let result = context.generate_with(&messages[..], &options(step))?;
                Ok(line(&result, context.token_count()))
            }
            "stream" => {
                let text = prompt(step);
                let mut stream = context.generate_stream(&text, &options(step))?;
                let take = step["take"].as_u64().map_or(usize::MAX, |take| take as usize);
                let mut pieces = String::new();
                for piece in stream.by_ref().take(take) {
                    pieces += &format!("{}|", hex(&piece?.text));
                }
                stream.stop()?;
                let result = stream.result()?;
                drop(stream);
                Ok(format!("pieces={pieces} {}", line(&result, context.token_count())))
            }
            "memory" => {
                let info = context.memory_info()?;
                Ok(format!(
                    "token_count={} context_size={} model_size={} kv_cache_size={} total_allocated={} kv_cache_used={} key_type={}",
                    info.token_count,
                    info.context_size,
                    info.model_size,
                    info.kv_cache_size,
                    info.total_allocated,
                    info.kv_cache_used,
                    info.key_type
                ))
            }
            "clear" => {
                context.clear()?;
                Ok(format!("token_count={}", context.token_count()))
            }
            _ => panic!("unknown step {op}"),
        }
    }
}

#[test]
fn b7_the_scenario() {
    let Ok(expected) = env::var("MULLAMA_TEST_SCENARIO") else {
        eprintln!("skipped: MULLAMA_TEST_SCENARIO does not name the lines of C++; scripts/test_bindings.sh writes them");
        return;
    };
    let path = support::tiny_model().into_os_string().into_string().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/scenario.json");
    let scenario: Value = serde_json::from_str(&fs::read_to_string(scenario).unwrap()).unwrap();
    let mut player = Player { path, model: None, context: None };
    let told: Vec<_> = scenario["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let line = player.tell(step).unwrap_or_else(|error| format!("error={} message={}", error.status(), hex(error.message())));
            format!("{} {line}", step["op"].as_str().unwrap())
        })
        .collect();
    let expected = fs::read_to_string(expected).unwrap();
    assert_eq!(told, expected.lines().collect::<Vec<_>>());
}
