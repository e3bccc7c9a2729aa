import { Model, Context } from 'mullama';

// Model is reference-counted internally
const model = await Model.load('./model.gguf');

// Multiple contexts share the same model
const context1 = new Context(model, { nCtx: 2048 });
const context2 = new Context(model, { nCtx: 2048 });
const context3 = new Context(model, { nCtx: 2048 });

// Model stays alive as long as any reference exists
// Total memory: 1x model + 3x context KV cache
