// Small batch for memory-constrained environments
const context = new Context(model, { nBatch: 128 });

// Large batch for fast prompt processing
const fastContext = new Context(model, { nBatch: 2048 });
