from mullama import Model, Context, ContextParams

# Python handles reference counting automatically
model = Model.load("./model.gguf")

# Multiple contexts share the same model
context1 = Context(model, ContextParams(n_ctx=2048))
context2 = Context(model, ContextParams(n_ctx=2048))
context3 = Context(model, ContextParams(n_ctx=2048))

# Model stays alive as long as any reference exists
