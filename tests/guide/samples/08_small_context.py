context = Context(model, ContextParams(n_ctx=512, kv_cache_type="q4_0"))
