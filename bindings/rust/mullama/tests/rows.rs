//! The rows of the contract, by their ids, and what goes beyond the guide. Counters are of the process: one test at a time.

mod support;

use mullama::{
    live_objects, plan, set_memory_budget, Batch, ChatMessage, Context, ContextParams, FinishReason, GenerateOptions, KvCacheType,
    LiveObjects, Model, ModelBuilder, ModelParams, MullamaError, Pooling, SamplerChain, SamplerParams, TokenStream,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

static TURN: Mutex<()> = Mutex::new(());

/// One test at a time, and nothing left over by it.
struct Turn(MutexGuard<'static, ()>);

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = &self.0;
        set_memory_budget("").unwrap();
        if !thread::panicking() {
            assert_eq!(live_objects(), LiveObjects::default(), "the test left objects behind");
        }
    }
}

fn turn() -> (Turn, PathBuf) {
    let turn = Turn(TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    (turn, support::tiny_model())
}

fn greedy(max_tokens: i32) -> GenerateOptions {
    GenerateOptions { max_tokens, sampler: SamplerParams::greedy(), ignore_end_of_generation: true, ..Default::default() }
}

fn context(model: &Arc<Model>, n_ctx: u32) -> Context {
    Context::new(Arc::clone(model), ContextParams { n_ctx, ..Default::default() }).unwrap()
}

fn load(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(path).unwrap())
}

fn status(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{field}:"))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// AddressSanitizer keeps freed memory for a while, shadows all of it, and locks none.
fn is_sanitized() -> bool {
    std::env::var_os("MULLAMA_TEST_SANITIZED").is_some()
}

fn is_mapped(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap();
    fs::read_to_string("/proc/self/maps").unwrap().contains(real.to_str().unwrap())
}

#[test]
fn r04_r06_r12_r13_types() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    shared::<Model>();
    shared::<mullama::CancelHandle>();
    sent::<Context>();
    sent::<TokenStream<'_>>();
    sent::<Batch>();
    sent::<SamplerChain>();
    error::<MullamaError>();
    assert!(std::mem::needs_drop::<Batch>() && std::mem::needs_drop::<SamplerChain>());
    assert!(std::mem::needs_drop::<Model>() && std::mem::needs_drop::<Context>());
}

#[test]
fn r10_r11_r12_r13_r15_g05_drop_frees() {
    let (_turn, path) = turn();
    let model = load(&path);
    assert!(is_mapped(&path));
    let one = context(&model, 64);
    let two = context(&model, 64);
    let batch = Batch::from_tokens(&[1, 2]).unwrap();
    let chain = SamplerChain::new(&model, &SamplerParams::default()).unwrap();
    assert_eq!(live_objects(), LiveObjects { models: 1, contexts: 2, batches: 1, samplers: 1, streams: 0 });
    drop((batch, chain, model, one));
    assert_eq!(live_objects(), LiveObjects { models: 1, contexts: 1, ..Default::default() });
    drop(two);
    assert_eq!(live_objects(), LiveObjects::default());
    assert!(!is_mapped(&path));
}

#[test]
fn r14_errors_on_the_way_leak_nothing() {
    let (_turn, path) = turn();
    fn early(path: &Path) -> Result<String, MullamaError> {
        let model = Arc::new(Model::load(path)?);
        let mut context = Context::new(model, ContextParams { n_ctx: 64, ..Default::default() })?;
        context.generate("a", 1)?;
        let long = "a".repeat(1000);
        context.generate(&long, 1)
    }
    for _ in 0..20 {
        assert!(matches!(early(&path), Err(MullamaError::ContextFull(_))));
        assert!(matches!(early(Path::new("missing")), Err(MullamaError::NotFound(_))));
    }
    assert_eq!(live_objects(), LiveObjects::default());
}

#[test]
fn r16_r17_r19_defaults_and_types() {
    let (_turn, path) = turn();
    let standard = ContextParams::default();
    assert_eq!((standard.kv_cache_type, standard.n_batch), (KvCacheType::F16, 512));
    let model = load(&path);
    let bytes = |kv_cache_type| {
        let params = ContextParams { n_ctx: 256, kv_cache_type, ..Default::default() };
        Context::new(Arc::clone(&model), params).unwrap().memory_info().unwrap().kv_cache_size
    };
    let f16 = bytes(KvCacheType::F16);
    assert_eq!((bytes(KvCacheType::F32), bytes(KvCacheType::BF16)), (2 * f16, f16));
    let share = |kind| bytes(kind) as f64 / f16 as f64;
    assert!((0.5..0.55).contains(&share(KvCacheType::Q8_0)) && (0.25..0.3).contains(&share(KvCacheType::Q4_0)));
    assert!("q5_0".parse::<KvCacheType>().unwrap_err().message().contains("f32, f16, bf16, q8_0, q4_0"));
    assert_eq!("q8_0".parse::<KvCacheType>().unwrap(), KvCacheType::Q8_0);
}

#[test]
fn r23_r24_r25_builder() {
    let (_turn, path) = turn();
    let copied = ModelBuilder::new(&path).with_use_mmap(false).build().unwrap();
    assert!(!is_mapped(&path));
    drop(copied);
    let heard = Arc::new(Mutex::new(String::new()));
    let hear = Arc::clone(&heard);
    let model = ModelBuilder::new(&path)
        .with_use_mlock(true)
        .with_n_gpu_layers(-1)
        .with_on_warning(move |line| hear.lock().unwrap().push_str(line))
        .build()
        .unwrap();
    assert!(heard.lock().unwrap().contains("CPU"));
    assert!(is_sanitized() || status("VmLck") >= model.size_bytes() || heard.lock().unwrap().contains("ulimit -l"));
}

#[test]
fn r27_r28_memory_and_clear() {
    let (_turn, path) = turn();
    let model = load(&path);
    let mut context = context(&model, 256);
    let first = context.generate_with("abc", &greedy(12)).unwrap().tokens;
    let info = context.memory_info().unwrap();
    assert_eq!(info.token_count, u64::from(context.token_count()));
    assert!(info.pools.iter().any(|pool| pool.pool == "kv" && pool.bytes == info.kv_cache_size));
    context.clear().unwrap();
    assert_eq!(context.token_count(), 0);
    assert_eq!(context.generate_with("abc", &greedy(12)).unwrap().tokens, first);
    assert_eq!(context.memory_info().unwrap().total_allocated, info.total_allocated);
}

#[test]
fn r30_g34_budget_errors_are_apart_from_the_devices() {
    let (_turn, path) = turn();
    set_memory_budget("64KiB").unwrap();
    for _ in 0..100 {
        match Model::load(&path) {
            Err(MullamaError::GpuMemoryError(_)) => panic!("no device is involved"),
            Err(MullamaError::BudgetExceeded(text)) => {
                assert!(text.contains("out of memory") && text.contains("insufficient memory"), "{text}")
            }
            other => panic!("{other:?}"),
        }
    }
    set_memory_budget("").unwrap();
    assert!(Model::load(&path).is_ok());
    assert!(matches!(set_memory_budget("much"), Err(MullamaError::InvalidArgument(_))));
}

#[test]
fn streams_give_what_generate_gives() {
    let (_turn, path) = turn();
    let model = load(&path);
    let mut context = context(&model, 256);
    let whole = context.generate_with("abc", &greedy(20)).unwrap();
    context.clear().unwrap();
    let mut stream = context.generate_stream("abc", &greedy(20)).unwrap();
    let pieces: Vec<_> = (&mut stream).map(Result::unwrap).collect();
    assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), whole.text);
    assert_eq!(stream.result().unwrap().finish_reason, FinishReason::Length);
    assert_eq!(stream.result().unwrap().tokens, whole.tokens);
    drop(stream);
    context.clear().unwrap();
    let mut given: Vec<_> =
        context.generate_stream("abc", &greedy(-1)).unwrap().take(5).map(|piece| piece.unwrap().id.unwrap()).collect();
    given.extend(context.generate_with("", &greedy(5)).unwrap().tokens);
    assert_eq!(given, whole.tokens[..10]);
}

#[test]
fn another_thread_may_cancel() {
    let (_turn, path) = turn();
    let model = load(&path);
    // The whole answer would take many seconds.
    let mut context = context(&model, 16384);
    let handle = context.cancel_handle();
    let returned = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn({
            let (handle, returned) = (handle.clone(), &returned);
            move || {
                // A cancel that comes before the work begins is lost.
                while !returned.load(Ordering::Relaxed) {
                    handle.cancel();
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        let result = context.generate_with("abc", &greedy(-1));
        returned.store(true, Ordering::Relaxed);
        result.unwrap()
    });
    assert_eq!(result.finish_reason, FinishReason::Canceled);
    drop(context);
    handle.cancel();
}

#[test]
fn g06_b5_four_threads_four_contexts_one_model() {
    let (_turn, path) = turn();
    let model = load(&path);
    let ask = |model: &Arc<Model>, i: usize| context(model, 256).generate_with(&format!("prompt {i}"), &greedy(40)).unwrap().text;
    let expected: Vec<_> = (0..4).map(|i| ask(&model, i)).collect();
    thread::scope(|scope| {
        for (i, text) in expected.iter().enumerate() {
            let model = &model;
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(&ask(model, i), text)));
        }
    });
}

#[test]
fn evaluate_sample_embed_and_texts() {
    let (_turn, path) = turn();
    let model = load(&path);
    let mut context = context(&model, 256);
    let tokens = model.tokenize("Grüße, 世界", false, false).unwrap();
    assert_eq!(model.detokenize(&tokens, false).unwrap(), "Grüße, 世界");
    let mut chain = SamplerChain::new(&model, &SamplerParams::greedy()).unwrap();
    let batch = Batch::from_tokens(&tokens).unwrap();
    assert_eq!(batch.len(), tokens.len());
    let logits = context.evaluate(&batch).unwrap();
    assert_eq!(logits.len(), model.vocab_size() as usize);
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(chain.sample(logits).unwrap() as usize, best);
    assert!(chain.accept(-5).is_err());
    let row = context.embed("some text", Pooling::Mean, true).unwrap();
    assert!((row.iter().map(|value| f64::from(value * value)).sum::<f64>() - 1.0).abs() < 1e-5);
    let messages = [ChatMessage::user("Hi \"you\"")];
    assert_eq!(model.apply_chat_template(&messages, true).unwrap(), "user: Hi \"you\"\nassistant: ");
    let json = r#"[{"role": "user", "content": "Hi"}]"#;
    let with = |variables| model.apply_chat_template_json(json, None, Some(variables), false);
    assert_eq!(with(r#"{"mood": "good"}"#).unwrap(), "mood: good\nuser: Hi\n");
    assert!(matches!(with("{"), Err(MullamaError::InvalidArgument(_))));
    assert!(context.chat(&messages, 3).is_ok());
    assert_eq!(model.metadata("general.architecture").unwrap().as_deref(), Some("llama"));
    assert_eq!(model.metadata("no such key").unwrap(), None);
    assert!(matches!(model.metadata("a\0b"), Err(MullamaError::InvalidArgument(_))));
    assert!(model.all_metadata().unwrap().len() > 5);
    assert!(model.token_piece(1_000_000, true).is_err());
}

#[test]
fn chat_variables_reach_the_template() {
    let (_turn, path) = turn();
    let model = load(&path);
    let mut context = context(&model, 256);
    let messages = [ChatMessage::user("Hi")];
    let mut prompt_tokens = |chat_variables: &str| {
        let options = GenerateOptions { chat_variables: chat_variables.into(), ..greedy(1) };
        context.generate_with(&messages[..], &options).map(|result| result.prompt_tokens)
    };
    assert!(prompt_tokens(r#"{"mood": "good"}"#).unwrap() > prompt_tokens("").unwrap());
    assert!(matches!(prompt_tokens("{"), Err(MullamaError::InvalidArgument(_))));
    assert!(matches!(prompt_tokens("[1]"), Err(MullamaError::InvalidArgument(_))));
}

#[test]
fn grow_lets_an_answer_outgrow_its_context() {
    let (_turn, path) = turn();
    let params = ContextParams { n_ctx: 64, grow: true, ..Default::default() };
    assert!(!ContextParams::default().grow);
    let model = load(&path);
    let mut small = Context::new(Arc::clone(&model), ContextParams { grow: false, ..params.clone() }).unwrap();
    let cut = small.generate_with("abc", &greedy(150)).unwrap();
    assert_eq!((cut.finish_reason, cut.receipt.context_growths), (FinishReason::ContextFull, 0));
    let mut context = Context::new(model, params).unwrap();
    let whole = context.generate_with("abc", &greedy(150)).unwrap();
    assert_eq!((whole.generated_tokens, whole.receipt.kv_demotions), (150, 0));
    assert!(whole.receipt.context_growths >= 1 && context.context_size() > 150);
}

#[test]
fn memory_info_tells_what_is_resident() {
    let (_turn, path) = turn();
    let mut context = context(&load(&path), 256);
    context.generate_with("abc", &greedy(3)).unwrap();
    let info = context.memory_info().unwrap();
    let kv = info.pools.iter().find(|pool| pool.pool == "kv").unwrap();
    assert_eq!(kv.planned, kv.bytes);
    assert!(kv.residency.anonymous > 0 && kv.residency.resident <= kv.residency.mapped);
    assert!(info.residency.resident > kv.residency.resident && info.beyond_pools > 0);
    assert_eq!((info.unaccounted, info.lock_asked, info.lock_achieved), (0, 0, 0));
}

#[test]
fn plan_is_what_the_ledger_then_holds() {
    let (_turn, path) = turn();
    let params = ContextParams { n_ctx: 512, kv_cache_type: KvCacheType::Q8_0, ..Default::default() };
    let planned = plan(&path, &ModelParams::default(), &params).unwrap();
    let context = Context::new(load(&path), params).unwrap();
    let kv: u64 = planned.rows.iter().filter(|row| row.pool == "kv").map(|row| row.bytes).sum();
    assert_eq!(kv, context.memory_info().unwrap().kv_cache_size);
    assert!(planned.fits && planned.recommended >= planned.total);
}

#[test]
fn b2_loads_and_drops_leave_nothing() {
    let (_turn, path) = turn();
    let cycle = || {
        let mut context = context(&load(&path), 64);
        context.generate_with("a", &greedy(1)).unwrap();
        assert!(context.generate(&"a".repeat(1000), 1).is_err());
        assert!(Model::load("no such file").is_err());
    };
    (0..30).for_each(|_| cycle());
    // The allocator may take a little more now and then; a leak shows in every series.
    let is_low = |drift: &i64| is_sanitized() || *drift < 2 << 20;
    let mut drifts = Vec::new();
    while drifts.len() < 3 && !drifts.iter().any(is_low) {
        let before = status("VmRSS") as i64;
        (0..200).for_each(|_| cycle());
        drifts.push(status("VmRSS") as i64 - before);
    }
    println!("B2 rust drift {drifts:?} bytes");
    assert!(drifts.iter().any(is_low), "{drifts:?} bytes");
}
