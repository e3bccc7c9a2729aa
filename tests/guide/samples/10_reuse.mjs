const context = new Context(model, { nCtx: 4096 });

for (const prompt of prompts) {
  context.clear();  // Reset without reallocating
  const response = await context.generate(prompt, 200);
  console.log(response);
}
