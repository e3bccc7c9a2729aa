use crate::error::{c_text, check, take_text, text_of};
use crate::model::path_text;
use crate::params::initialized;
use crate::{ContextParams, KvCacheType, ModelParams, MullamaError};
use mullama_sys as sys;
use serde_json::Value;
use std::path::Path;
use std::ptr;

/// One pool of one device in the account book of the process.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUsage {
    pub device: String,
    pub pool: String,
    pub bytes: u64,
    pub peak: u64,
    /// What the plan said before the bytes were taken.
    pub planned: u64,
    /// Of host memory; zeros where the system does not tell.
    pub residency: Residency,
}

/// What backs memory at this moment, as the operating system says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residency {
    /// Address space.
    pub mapped: u64,
    /// In memory: a share of the process's RSS.
    pub resident: u64,
    /// Resident pages equal to their file, given back without a write.
    pub clean: u64,
    /// Resident pages of no file: only swap could take them.
    pub anonymous: u64,
    /// Resident pages of locked mappings: achieved, not asked.
    pub locked: u64,
    /// In swap.
    pub swapped: u64,
}

impl Residency {
    fn from_c(raw: &sys::mullama_residency) -> Self {
        Self {
            mapped: raw.mapped,
            resident: raw.resident,
            clean: raw.clean,
            anonymous: raw.anonymous,
            locked: raw.locked,
            swapped: raw.swapped,
        }
    }
}

/// Memory behind one context, in bytes, but for `token_count` and `context_size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Weights, mapped or owned.
    pub model_size: u64,
    /// KV cache of this context, reserved in full.
    pub kv_cache_size: u64,
    /// Tokens in the context.
    pub token_count: u64,
    /// Tokens it has room for.
    pub context_size: u64,
    /// Model, KV cache and working buffers.
    pub total_allocated: u64,
    /// Bytes of KV pages in use.
    pub kv_cache_used: u64,
    /// Working memory, shared by the contexts of a model.
    pub scratch_size: u64,
    /// Logits.
    pub output_size: u64,
    /// The tokenizer.
    pub tokenizer_size: u64,
    /// Really in use.
    pub key_type: KvCacheType,
    /// Really in use.
    pub value_type: KvCacheType,
    /// What `use_mlock` was to lock of weights and KV cache,
    pub lock_asked: u64,
    /// and did; KV pages are locked as they come into use.
    pub lock_achieved: u64,
    /// The account book of the whole process.
    pub pools: Vec<PoolUsage>,
    /// The whole process; zeros where the system does not tell.
    pub residency: Residency,
    /// Sum over pools of the differences between `bytes` and `planned`: 0 while nothing loads.
    pub unaccounted: u64,
    /// Resident bytes in no pool: program code, heap, stacks.
    pub beyond_pools: u64,
}

impl MemoryInfo {
    pub(crate) fn from_c(raw: &sys::mullama_memory_info) -> Result<Self, MullamaError> {
        Ok(Self {
            model_size: raw.model_size,
            kv_cache_size: raw.kv_cache_size,
            token_count: raw.token_count,
            context_size: raw.context_size,
            total_allocated: raw.total_allocated,
            kv_cache_used: raw.kv_cache_used,
            scratch_size: raw.scratch_size,
            output_size: raw.output_size,
            tokenizer_size: raw.tokenizer_size,
            key_type: KvCacheType::from_c(raw.key_type),
            value_type: KvCacheType::from_c(raw.value_type),
            lock_asked: raw.lock_asked,
            lock_achieved: raw.lock_achieved,
            pools: memory_pools()?,
            residency: Residency::from_c(&raw.process),
            unaccounted: raw.unaccounted,
            beyond_pools: raw.beyond_pools,
        })
    }
}

/// The account book of the whole process.
pub fn memory_pools() -> Result<Vec<PoolUsage>, MullamaError> {
    let mut rows: Vec<sys::mullama_pool_usage> = Vec::new();
    loop {
        let mut count = 0;
        // SAFETY: `rows` holds as many as its length says.
        check(unsafe { sys::mullama_memory_pools(rows.as_mut_ptr(), rows.len(), &mut count) })?;
        if count <= rows.len() {
            rows.truncate(count);
            break;
        }
        rows.resize_with(count, || unsafe { initialized(sys::mullama_pool_usage_init) });
    }
    Ok(rows
        .iter()
        .map(|row| PoolUsage {
            // SAFETY: names end in a zero byte.
            device: unsafe { text_of(row.device.as_ptr()) },
            pool: unsafe { text_of(row.pool.as_ptr()) },
            bytes: row.bytes,
            peak: row.peak,
            planned: row.planned,
            residency: Residency::from_c(&row.residency),
        })
        .collect())
}

/// A hard limit on all memory of this process: "2GiB", "host=2GiB,gpu0=1GiB", "auto", or "" for none.
pub fn set_memory_budget(budget: &str) -> Result<(), MullamaError> {
    let budget = c_text(budget, "the budget")?;
    check(unsafe { sys::mullama_set_memory_budget(budget.as_ptr()) })
}

/// Native objects alive, for tests.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveObjects {
    pub models: u64,
    pub contexts: u64,
    pub batches: u64,
    pub samplers: u64,
    pub streams: u64,
}

/// Native objects alive, for tests.
pub fn live_objects() -> LiveObjects {
    // SAFETY: the struct is filled before it is read, and its size is right, so that the call cannot fail.
    let live = unsafe {
        let mut live = initialized(sys::mullama_live_objects_init);
        sys::mullama_get_live_objects(&mut live);
        live
    };
    LiveObjects {
        models: live.models,
        contexts: live.contexts,
        batches: live.batches,
        samplers: live.samplers,
        streams: live.streams,
    }
}

/// One line of a memory plan.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    pub device: String,
    pub pool: String,
    pub bytes: u64,
    pub why: String,
}

/// A way to run the same model in less memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanAlternative {
    /// What to change, in the words of the command line.
    pub flags: String,
    /// What counts against the limit then.
    pub bytes: u64,
}

/// Every byte that a model and one context on it will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Tokens of the context.
    pub context_size: u64,
    /// That run together.
    pub sequences: u64,
    /// Tokens computed at once.
    pub batch_size: u64,
    /// Of keys.
    pub key_type: KvCacheType,
    /// Of values.
    pub value_type: KvCacheType,
    /// No two count the same byte.
    pub rows: Vec<PlanRow>,
    /// Their sum.
    pub total: u64,
    /// A fifth more than calculated.
    pub recommended: u64,
    /// What this process may still take.
    pub available: u64,
    /// By what: "the system", or a cgroup's folder.
    pub limited_by: String,
    /// The host's, if there is one.
    pub budget: Option<u64>,
    /// Into the budget, or else into what is available.
    pub fits: bool,
    /// Mapped weights will be read from disk again and again.
    pub weights_are_streamed: bool,
    /// What would fit, if it does not.
    pub alternatives: Vec<PlanAlternative>,
}

/// What a model and one context on it will take, from the file's header alone.
pub fn plan(path: impl AsRef<Path>, model: &ModelParams, context: &ContextParams) -> Result<MemoryPlan, MullamaError> {
    let path = c_text(&path_text(path.as_ref())?, "the path")?;
    let model = model.to_c()?;
    let mut json = ptr::null_mut();
    // SAFETY: the parameters outlive the call; the string is taken over.
    let json = unsafe {
        check(sys::mullama_plan(path.as_ptr(), &model.raw, &context.to_c(), &mut json))?;
        take_text(json)
    };
    let json: Value =
        serde_json::from_str(&json).map_err(|error| MullamaError::Internal(format!("the plan is not JSON: {error}")))?;
    let lacks = |name: &str| MullamaError::Internal(format!("the plan lacks {name}"));
    let number = |value: &Value, name: &str| value[name].as_u64().ok_or_else(|| lacks(name));
    let text = |value: &Value, name: &str| value[name].as_str().map(String::from).ok_or_else(|| lacks(name));
    let flag = |name: &str| json[name].as_bool().ok_or_else(|| lacks(name));
    let list = |name: &str| json[name].as_array().ok_or_else(|| lacks(name));
    let row = |row: &Value| {
        Ok(PlanRow {
            device: text(row, "device")?,
            pool: text(row, "pool")?,
            bytes: number(row, "bytes")?,
            why: text(row, "why")?,
        })
    };
    let alternative = |way: &Value| Ok(PlanAlternative { flags: text(way, "flags")?, bytes: number(way, "bytes")? });
    Ok(MemoryPlan {
        context_size: number(&json, "context_size")?,
        sequences: number(&json, "sequences")?,
        batch_size: number(&json, "batch_size")?,
        key_type: text(&json, "key_type")?.parse()?,
        value_type: text(&json, "value_type")?.parse()?,
        rows: list("rows")?.iter().map(row).collect::<Result<_, MullamaError>>()?,
        total: number(&json, "total")?,
        recommended: number(&json, "recommended")?,
        available: number(&json, "available")?,
        limited_by: text(&json, "limited_by")?,
        budget: json["budget"].as_u64(),
        fits: flag("fits")?,
        weights_are_streamed: flag("weights_are_streamed")?,
        alternatives: list("alternatives")?.iter().map(alternative).collect::<Result<_, MullamaError>>()?,
    })
}
