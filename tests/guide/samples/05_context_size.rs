let short = ContextParams { n_ctx: 512, ..Default::default() };
let chat = ContextParams { n_ctx: 4096, ..Default::default() };
let long = ContextParams { n_ctx: 32768, ..Default::default() };
