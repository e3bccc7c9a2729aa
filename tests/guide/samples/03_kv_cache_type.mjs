import { Model, Context } from 'mullama';

const model = await Model.load('./model.gguf');

// F16 (default) -- good balance of quality and memory
const contextF16 = new Context(model, { kvCacheType: 'f16' });

// Q8_0 -- 50% less KV memory, minimal quality impact
const contextQ8 = new Context(model, { kvCacheType: 'q8_0' });

// Q4_0 -- 75% less KV memory, slight quality impact
const contextQ4 = new Context(model, { kvCacheType: 'q4_0' });
