# Use only what you need
short_context = Context(model, ContextParams(n_ctx=512))     # Simple tasks
chat_context = Context(model, ContextParams(n_ctx=4096))     # Conversations
long_context = Context(model, ContextParams(n_ctx=32768))    # Documents
