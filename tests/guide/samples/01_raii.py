from mullama import Model, Context

def process_query(prompt: str) -> str:
    # Resources freed when references are garbage collected
    model = Model.load("./model.gguf")
    context = Context(model)
    return context.generate(prompt, max_tokens=200)

# Context manager for explicit cleanup
def explicit_cleanup(prompt: str) -> str:
    model = Model.load("./model.gguf")
    with Context(model) as context:
        response = context.generate(prompt, max_tokens=200)
    # Context resources freed at end of 'with' block
    return response
