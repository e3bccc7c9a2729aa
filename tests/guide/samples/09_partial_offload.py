model = Model.load_with_params("./model.gguf", ModelParams(n_gpu_layers=20))
