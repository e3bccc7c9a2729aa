import { Model, Context } from 'mullama';

async function processQuery(prompt) {
  // Context is created and used within this function scope
  const model = await Model.load('./model.gguf');
  const context = new Context(model);
  const response = await context.generate(prompt, 200);

  // When context/model go out of scope, they are garbage collected
  // and native resources are freed automatically
  return response;
}

// Explicit cleanup if needed
async function explicitCleanup() {
  const model = await Model.load('./model.gguf');
  const context = new Context(model);

  const response = await context.generate("Hello!", 100);

  // Explicitly free resources before GC
  context.dispose();
  model.dispose();

  return response;
}
