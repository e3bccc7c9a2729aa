let model = ModelBuilder::new("model.gguf")
    .with_n_gpu_layers(20)
    .build()?;
