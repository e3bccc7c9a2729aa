// Only 512 tokens for simple Q&A
const context = new Context(model, { nCtx: 512, kvCacheType: 'q4_0' });
