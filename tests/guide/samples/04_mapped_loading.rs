use mullama::ModelBuilder;

// mmap enabled by default
let model = ModelBuilder::new("model.gguf")
    .with_use_mmap(true)
    .with_use_mlock(false)
    .build()?;

// mlock to prevent swapping
let locked = ModelBuilder::new("model.gguf")
    .with_use_mmap(true)
    .with_use_mlock(true)
    .build()?;
