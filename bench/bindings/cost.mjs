import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const { Context, Model } = createRequire(import.meta.url)(path.join(here, '..', '..', 'bindings', 'node'));
const calls = 1_000_000;
const context = new Context(await Model.load(process.argv[2]), { nCtx: 512 });
let rate = 0;
for (let round = 0; round < 3; ++round) {
  context.clear();
  const stream = context.generateStream('Once upon a time', { maxTokens: 100, sampler: { temperature: 0 }, ignoreEndOfGeneration: true });
  await stream.next();
  const start = process.hrtime.bigint();
  let tokens = 0;
  for await (const _ of stream) ++tokens;
  rate = Math.max(rate, tokens / (Number(process.hrtime.bigint() - start) / 1e9));
}
let sum = 0;
const start = process.hrtime.bigint();
for (let i = 0; i < calls; ++i) sum += context.tokenCount;
const nanoseconds = Number(process.hrtime.bigint() - start) / calls;
if (sum === 0) throw new Error('an empty context');
console.log(`node call_ns ${nanoseconds.toFixed(2)} tokens_per_second ${rate.toFixed(2)}`);
