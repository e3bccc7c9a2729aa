// Small batch
let params = ContextParams { n_batch: 128, ..Default::default() };

// Large batch
let fast_params = ContextParams { n_batch: 2048, ..Default::default() };
