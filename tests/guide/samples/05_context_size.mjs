// Use only what you need
const shortContext = new Context(model, { nCtx: 512 });   // Simple tasks
const chatContext = new Context(model, { nCtx: 4096 });   // Conversations
const longContext = new Context(model, { nCtx: 32768 });  // Documents
