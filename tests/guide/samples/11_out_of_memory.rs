fn load_with_fallback(path: &str) -> Result<Model, MullamaError> {
    match ModelBuilder::new(path).with_n_gpu_layers(-1).build() {
        Ok(model) => Ok(model),
        Err(MullamaError::GpuMemoryError(_)) => {
            eprintln!("Full GPU offload failed, trying partial...");
            ModelBuilder::new(path).with_n_gpu_layers(20).build()
        }
        Err(e) => Err(e),
    }
}
