# Small batch for memory-constrained environments
context = Context(model, ContextParams(n_batch=128))

# Large batch for fast prompt processing
fast_context = Context(model, ContextParams(n_batch=2048))
