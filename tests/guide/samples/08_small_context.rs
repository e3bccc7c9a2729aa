let params = ContextParams {
    n_ctx: 512,
    kv_cache_type: KvCacheType::Q4_0,
    ..Default::default()
};
