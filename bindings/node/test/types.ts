// Compiled, not run: the types say what the guide's samples do.
import { Context, MemoryInfo, Model, MullamaError, plan, SamplerChain, type StreamToken } from '../lib/index.js';

async function main(): Promise<string> {
  const model: Model = await Model.loadWithParams('./model.gguf', { useMmap: true, useMlock: false, nGpuLayers: 20 });
  const context = new Context(model, { nCtx: 512, nBatch: 128, kvCacheType: 'q4_0' });
  const info: MemoryInfo = context.memoryInfo();
  console.log(`${(info.modelSize / 1e9).toFixed(2)} GB, ${info.tokenCount}/${info.contextSize}`);
  for await (const token of context.generateStream('prompt', { maxTokens: 5, signal: AbortSignal.timeout(100) })) {
    const piece: StreamToken = token;
    console.log(piece.text);
  }
  const chain = new SamplerChain(model, { temperature: 0.5 });
  const chosen: number = chain.sample(await context.evaluate([1, 2]));
  chain.accept(chosen);
  console.log(plan('./model.gguf', {}, { nCtx: 512 }).alternatives.map((way) => `${way.flags}: ${way.bytes}`).join('\n'));
  try {
    return await context.generate('prompt', 200);
  } catch (error) {
    if (error instanceof MullamaError && error.status === 'context_full') context.clear();
    throw error;
  } finally {
    context.dispose();
    model.dispose();
  }
}

// @ts-expect-error: no such type of KV cache
const wrong = (model: Model) => new Context(model, { kvCacheType: 'q5_0' });
// @ts-expect-error: a model is loaded, not made
const made = () => new Model();
export { main, wrong, made };
