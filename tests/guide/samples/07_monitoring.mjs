import { Model, Context, MemoryInfo } from 'mullama';

const model = await Model.load('./model.gguf');
const context = new Context(model, { nCtx: 4096 });

// Check memory usage
const info = context.memoryInfo();
console.log(`Model size: ${(info.modelSize / 1e9).toFixed(2)} GB`);
console.log(`KV cache: ${(info.kvCacheSize / 1e6).toFixed(0)} MB`);
console.log(`Context usage: ${info.tokenCount}/${info.contextSize} tokens`);
console.log(`Total allocated: ${(info.totalAllocated / 1e9).toFixed(2)} GB`);
