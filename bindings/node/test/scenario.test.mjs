// Replays tests/scenario.json: the lines must be those of C++ (B7).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Context, Model, MullamaError, plan, setMemoryBudget } from 'mullama';
import { root, tiny } from './support.mjs';

const hex = (text) => Buffer.from(text, 'utf8').toString('hex');
let model;
let context;

const params = (step) => ({ nCtx: step.n_ctx, nBatch: step.n_batch, kvCacheType: step.kv_cache_type });
const options = (step) => ({
  maxTokens: step.max_tokens, ignoreEndOfGeneration: true, sampler: { temperature: step.temperature ?? 0, seed: step.seed },
});
const prompt = (step) => step.prompt.repeat(step.repeat ?? 1);
const line = (result) =>
  `text=${hex(result.text)} tokens=${result.tokens.join(',')} finish=${result.finishReason} prompt_tokens=${result.promptTokens} ` +
  `prompt_evaluated=${result.promptEvaluated} token_count=${context.tokenCount}`;

const play = {
  plan(step) {
    const made = plan(tiny, {}, params(step));
    const kv = made.rows.filter((row) => row.pool === 'kv').reduce((sum, row) => sum + row.bytes, 0);
    return `context_size=${made.contextSize} key_type=${made.keyType} total=${made.total} kv=${kv} fits=${made.fits}`;
  },
  async load(step) {
    model = await Model.load(step.path ?? tiny);
    return `architecture=${model.architecture} vocab_size=${model.vocabSize} n_layer=${model.nLayer} size_bytes=${model.sizeBytes}`;
  },
  context(step) {
    const made = new Context(model, params(step));
    context?.dispose();
    context = made;
    return `context_size=${context.contextSize}`;
  },
  generate: async (step) => line(await context.generateResult(prompt(step), options(step))),
  chat: async (step) => line(await context.chatResult(step.messages, options(step))),
  async stream(step) {
    const stream = context.generateStream(prompt(step), options(step));
    let pieces = '';
    let left = step.take ?? -1;
    for await (const token of stream) {
      pieces += `${hex(token.text)}|`;
      if (--left === 0) break;
    }
    return `pieces=${pieces} ${line(stream.result)}`;
  },
  memory() {
    const info = context.memoryInfo();
    return `token_count=${info.tokenCount} context_size=${info.contextSize} model_size=${info.modelSize} ` +
      `kv_cache_size=${info.kvCacheSize} total_allocated=${info.totalAllocated} kv_cache_used=${info.kvCacheUsed} key_type=${info.keyType}`;
  },
  clear() {
    context.clear();
    return `token_count=${context.tokenCount}`;
  },
  budget(step) {
    setMemoryBudget(step.budget);
    return 'set';
  },
};

test('B7 the scenario', async () => {
  const { steps } = JSON.parse(fs.readFileSync(path.join(root, 'tests', 'scenario.json'), 'utf8'));
  const told = [];
  for (const step of steps) {
    try {
      told.push(`${step.op} ${await play[step.op](step)}`);
    } catch (error) {
      if (!(error instanceof MullamaError)) throw error;
      told.push(`${step.op} error=${error.status} message=${hex(error.message)}`);
    }
  }
  assert(process.env.MULLAMA_TEST_SCENARIO, 'MULLAMA_TEST_SCENARIO names the lines of C++');
  assert.deepEqual(told, fs.readFileSync(process.env.MULLAMA_TEST_SCENARIO, 'utf8').trimEnd().split('\n'));
});
