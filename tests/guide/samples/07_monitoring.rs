let info = context.memory_info()?;
println!("Model size: {:.2} GB", info.model_size as f64 / 1e9);
println!("KV cache: {:.0} MB", info.kv_cache_size as f64 / 1e6);
println!("Context usage: {}/{} tokens", info.token_count, info.context_size);
println!("Total allocated: {:.2} GB", info.total_allocated as f64 / 1e9);
