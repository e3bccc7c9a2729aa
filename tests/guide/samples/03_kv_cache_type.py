from mullama import Model, Context, ContextParams

model = Model.load("./model.gguf")

# F16 (default)
context_f16 = Context(model, ContextParams(kv_cache_type="f16"))

# Q8_0 -- 50% less KV memory
context_q8 = Context(model, ContextParams(kv_cache_type="q8_0"))

# Q4_0 -- 75% less KV memory
context_q4 = Context(model, ContextParams(kv_cache_type="q4_0"))
