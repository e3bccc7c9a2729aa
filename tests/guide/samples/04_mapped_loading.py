from mullama import Model, ModelParams

# mmap is enabled by default
model = Model.load_with_params("./model.gguf", ModelParams(
    use_mmap=True,    # Default: True
    use_mlock=False,   # Default: False
))

# mlock keeps all pages in RAM
locked_model = Model.load_with_params("./model.gguf", ModelParams(
    use_mmap=True,
    use_mlock=True,   # Pin all pages in physical RAM
))
