from mullama import Model, ModelParams, MullamaError

def load_with_fallback(model_path: str) -> Model:
    try:
        # Try full GPU offload first
        return Model.load_with_params(model_path, ModelParams(n_gpu_layers=-1))
    except MullamaError as e:
        if "out of memory" in str(e).lower():
            print("Full GPU offload failed, trying partial...")
            return Model.load_with_params(model_path, ModelParams(n_gpu_layers=20))
        raise
