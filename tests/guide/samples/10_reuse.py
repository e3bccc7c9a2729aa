context = Context(model, ContextParams(n_ctx=4096))

for prompt in prompts:
    context.clear()  # Reset without reallocating
    response = context.generate(prompt, max_tokens=200)
    print(response)
