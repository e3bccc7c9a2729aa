use mullama::{Context, ContextParams, KvCacheType};

// F16 (default)
let params_f16 = ContextParams {
    kv_cache_type: KvCacheType::F16,
    ..Default::default()
};

// Q8_0 -- 50% less KV memory
let params_q8 = ContextParams {
    kv_cache_type: KvCacheType::Q8_0,
    ..Default::default()
};

// Q4_0 -- 75% less KV memory
let params_q4 = ContextParams {
    kv_cache_type: KvCacheType::Q4_0,
    ..Default::default()
};
