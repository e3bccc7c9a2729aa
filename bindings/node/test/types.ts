// Compiled, not run: the types say what the guide's samples do.
import { Context, MemoryInfo, Model, MullamaError, plan, type PoolUsage, SamplerChain, type StreamToken } from '../lib/index.js';

async function main(): Promise<string> {
  const model: Model = await Model.loadWithParams('./model.gguf', { useMmap: true, useMlock: false, nGpuLayers: 20 });
  const context = new Context(model, { nCtx: 512, nBatch: 128, kvCacheType: 'q4_0' });
  const info: MemoryInfo = context.memoryInfo();
  console.log(`${(info.modelSize / 1e9).toFixed(2)} GB, ${info.tokenCount}/${info.contextSize}`);
  const resident: number = info.residency.resident - info.beyondPools - info.unaccounted;
  const pool: PoolUsage | undefined = info.pools.find((one) => one.planned !== one.bytes || one.residency.swapped > 0);
  console.log(resident, pool?.pool, info.lockAsked - info.lockAchieved);
  const grown = new Context(model, { nCtx: 64, grow: true });
  const answer = await grown.chatResult([{ role: 'user', content: 'Hi' }], { maxTokens: 100, chatVariables: { enable_thinking: false } });
  console.log(answer.receipt.contextGrowths, answer.receipt.kvDemotions, model.applyChatTemplate([], true, [], { reasoning_effort: 'low' }));
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
// @ts-expect-error: variables of a chat template are an object
const text = (context: Context) => context.chat([], { chatVariables: 'low' });
// @ts-expect-error: a model is loaded, not made
const made = () => new Model();
export { main, wrong, text, made };
