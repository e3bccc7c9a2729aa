//! One API in three languages: the names of tests/names.json, which every language's suite checks against its own. Here the compiler
//! does: each name below is one that it finds.

use mullama::{
    live_objects, memory_pools, plan, set_memory_budget, version, Batch, CancelHandle, ChatMessage, Context, ContextParams, FinishReason,
    GenerateOptions, GenerateResult, KvCacheType, LiveObjects, MemoryInfo, MemoryPlan, Model, ModelBuilder, ModelParams, MullamaError,
    PlanAlternative, PlanRow, PoolUsage, Pooling, Prompt, Receipt, Residency, SamplerChain, SamplerParams, StreamToken, Token,
    TokenStream,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Names = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Fields, all of them: a pattern without `..` names each.
macro_rules! fields {
    ($names:ident: $($owner:ident { $($field:ident)* })*) => {$(
        #[allow(dead_code)]
        let _ = |value: &$owner| { let $owner { $($field: _),* } = value; };
        $names.entry(stringify!($owner)).or_default().extend([$(stringify!($field)),*]);
    )*};
}

/// Functions. Those that take `impl Trait` are given with a type.
macro_rules! methods {
    ($names:ident: $($owner:ident { $($method:ident)* $(, $generic:ident as $type:ty)* })*) => {$(
        $(let _ = $owner::$method;)*
        $(let _: $type = $owner::$generic;)*
        $names.entry(stringify!($owner)).or_default().extend([$(stringify!($method),)* $(stringify!($generic),)*]);
    )*};
}

/// Types and variants; that they are imported or named is the check.
macro_rules! listed {
    ($names:ident: $key:literal $($name:ident)*) => {
        $names.entry($key).or_default().extend([$(stringify!($name)),*]);
    };
}

type Loaded = Result<Model, MullamaError>;

fn exported() -> Names {
    let mut names = Names::new();
    let _ = (live_objects, memory_pools, set_memory_budget, version);
    let _: fn(&'static str, &ModelParams, &ContextParams) -> Result<MemoryPlan, MullamaError> = plan;
    listed!(names: "functions" live_objects memory_pools plan set_memory_budget version);
    let _: (Option<Batch>, Option<CancelHandle>, Option<ChatMessage>, Option<FinishReason>, Option<ModelBuilder>) = Default::default();
    let _: (Option<Pooling>, Option<Prompt>, Token) = Default::default();
    listed!(names: "types" Batch CancelHandle ChatMessage Context ContextParams FinishReason GenerateOptions GenerateResult KvCacheType
        LiveObjects MemoryInfo MemoryPlan Model ModelBuilder ModelParams MullamaError PlanAlternative PlanRow Pooling PoolUsage Prompt
        Receipt Residency SamplerChain SamplerParams StreamToken Token TokenStream);
    let _ = |kind: KvCacheType| match kind {
        KvCacheType::F32 | KvCacheType::F16 | KvCacheType::BF16 | KvCacheType::Q8_0 | KvCacheType::Q4_0 => (),
    };
    listed!(names: "KvCacheType" F32 F16 BF16 Q8_0 Q4_0);
    methods! { names:
        Model {
            tokenize detokenize token_piece apply_chat_template apply_chat_template_json architecture name vocab_size n_layer n_embd
            n_ctx_train parameter_count size_bytes bos eos is_end_of_generation metadata all_metadata,
            load as fn(&'static str) -> Loaded, load_with_params as fn(&'static str, &ModelParams) -> Loaded
        }
        Context {
            new generate chat evaluate embed clear release_idle cancel_handle memory_info token_count context_size model,
            generate_with as fn(&mut Context, &'static str, &GenerateOptions) -> Result<GenerateResult, MullamaError>,
            generate_stream as for<'a> fn(&'a mut Context, &'static str, &GenerateOptions) -> Result<TokenStream<'a>, MullamaError>
        }
        SamplerChain { new sample accept reset }
        TokenStream { stop result }
    }
    fields! { names:
        ModelParams { use_mmap use_mlock mlock_required n_gpu_layers n_threads vocab_only isa pre_tokenizer on_warning }
        ContextParams { n_ctx n_batch kv_cache_type kv_cache_type_v kv_rotate lookup grow }
        SamplerParams {
            seed temperature dynamic_temperature_range dynamic_temperature_exponent top_k top_p min_p typical_p xtc_probability
            xtc_threshold repeat_penalty repeat_last_n frequency_penalty presence_penalty dry_multiplier dry_base dry_allowed_length
            dry_penalty_last_n dry_sequence_breakers mirostat mirostat_tau mirostat_eta logit_bias order
        }
        GenerateOptions { max_tokens sampler stop ignore_end_of_generation parse_special render_special grammar json_schema chat_variables }
        GenerateResult {
            text tokens finish_reason seed prompt_tokens prompt_evaluated generated_tokens drafted_tokens accepted_tokens prompt_seconds
            generate_seconds receipt
        }
        Receipt { kv_bytes peak_scratch prefix_bytes_reused pages_evicted tokens_cut context_growths kv_demotions }
        StreamToken { id text logprob }
        MemoryInfo {
            model_size kv_cache_size token_count context_size total_allocated kv_cache_used scratch_size output_size tokenizer_size
            key_type value_type lock_asked lock_achieved pools residency unaccounted beyond_pools
        }
        Residency { mapped resident clean anonymous locked swapped }
        PoolUsage { device pool bytes peak planned residency }
        MemoryPlan {
            context_size sequences batch_size key_type value_type rows total recommended available limited_by budget fits
            weights_are_streamed alternatives
        }
        PlanRow { device pool bytes why }
        PlanAlternative { flags bytes }
        LiveObjects { models contexts batches samplers streams }
    }
    names
}

#[test]
fn g38_names_are_those_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/names.json");
    let table: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let found = exported();
    assert_eq!(found.len(), table.as_object().unwrap().len());
    for (owner, languages) in table.as_object().unwrap() {
        let wanted: BTreeSet<_> = languages
            .as_object()
            .unwrap()
            .iter()
            .filter(|(whose, _)| *whose == "all" || whose.split(' ').any(|language| language == "rust"))
            .flat_map(|(_, names)| names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()))
            .collect();
        assert_eq!(found[owner.as_str()], wanted, "{owner}");
    }
}
