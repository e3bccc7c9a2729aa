from mullama import Model, Context, ContextParams

model = Model.load("./model.gguf")
context = Context(model, ContextParams(n_ctx=4096))

# Check memory usage
info = context.memory_info()
print(f"Model size: {info.model_size / 1e9:.2f} GB")
print(f"KV cache: {info.kv_cache_size / 1e6:.0f} MB")
print(f"Context usage: {info.token_count}/{info.context_size} tokens")
print(f"Total allocated: {info.total_allocated / 1e9:.2f} GB")
