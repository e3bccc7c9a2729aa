// The rows of the contract, by their ids.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { afterEach, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import * as mullama from 'mullama';
import { collectUntil, greedy, isMapped, real, status, tiny, withoutMemoryMeasures, withoutRealModel } from './support.mjs';

const { Context, Model, MemoryInfo, MullamaError, SamplerChain, liveObjects, setMemoryBudget } = mullama;
const none = () => Object.values(liveObjects()).every((count) => count === 0);

afterEach(async () => {
  setMemoryBudget('');
  await collectUntil(none, 'what the test made');
});

test('N01 N02 X08 imports and require give the same', () => {
  const required = createRequire(import.meta.url)('mullama');
  assert.equal(required.Model, Model);
  assert.equal(required.MemoryInfo, MemoryInfo);
  assert.deepEqual(Object.keys(required).sort(), Object.keys(mullama).filter((name) => name !== 'default').sort());
});

test('N05 generating keeps the event loop turning', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 2048 });
  // A busy machine may take one answer's time from the loop; what holds the loop up shows beside every answer.
  let ticks = 0;
  for (let tries = 0; tries < 3 && ticks < 3; ++tries) {
    context.clear();
    ticks = 0;
    const timer = setInterval(() => ++ticks, 1);
    const text = await context.generate('abc', 1000, greedy);
    clearInterval(timer);
    assert.equal(typeof text, 'string');
  }
  assert(ticks >= 3, `${ticks} ticks`);
});

test('N06 limits hold', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 1024 });
  const { promptTokens, generatedTokens, finishReason } = await context.generateResult('abc', 100, greedy);
  assert.equal(generatedTokens, 100);
  assert.equal(finishReason, 'length');
  assert.equal(context.tokenCount, promptTokens + 100);
});

test('N07 B2 garbage collection alone frees 200 models and contexts', { skip: withoutMemoryMeasures }, async () => {
  async function once(round) {
    const context = new Context(await Model.load(tiny), { nCtx: 256 });
    if (round % 10 === 0) {
      await context.generate('a', 1, greedy);
      await assert.rejects(context.generate('a'.repeat(1000)), MullamaError);
      await assert.rejects(Model.load('no such file'), MullamaError);
    }
  }
  for (let round = 0; round < 120; ++round) await once(round);
  await collectUntil(none, 'models');
  // The collector's own memory may grow now and then; a leak shows in every series.
  const drifts = [];
  while (drifts.length < 3 && !(Math.min(...drifts) < 2 << 20)) {
    const before = status('VmRSS');
    for (let round = 0; round < 200; ++round) {
      await once(round);
      if (round % 50 === 49) globalThis.gc();
    }
    await collectUntil(none, 'models');
    drifts.push(status('VmRSS') - before);
  }
  console.log(`B2 node drift ${drifts.join(', ')} bytes`);
  assert(Math.min(...drifts) < 2 << 20, `${drifts.join(', ')} bytes`);
});

test('N07 memory outside the heap makes the collector run', { skip: withoutRealModel }, async () => {
  // No call of gc() in here: the child has none.
  const script = `
    import { Context, Model, liveObjects } from 'mullama';
    let most = 0;
    for (let i = 0; i < 60; ++i) {
      const context = new Context(await Model.load(process.argv[1]), { nCtx: 2048 });
      context.tokenCount;
      most = Math.max(most, liveObjects().contexts);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    console.log(most);`;
  // A collector that works beside the program may be kept waiting by a busy machine; beyond half of the heap's limit it runs at once.
  const flags = ['--max-old-space-size=512', '--input-type=module'];
  const out = execFileSync(process.execPath, [...flags, '-e', script, real], { cwd: import.meta.dirname ?? new URL('.', import.meta.url).pathname, encoding: 'utf8' });
  assert(Number(out) < 40, `${out.trim()} contexts at once`);
});

test('N08 G04 dispose of a context frees at once', { skip: withoutRealModel || withoutMemoryMeasures }, async () => {
  const model = await Model.load(real);
  const before = status('RssAnon');
  const context = new Context(model, { nCtx: 8192, kvCacheType: 'f32' });
  await context.generate(new Array(1500).fill(1), 1);
  const used = status('RssAnon') - before;
  assert(used > 45e6, `${used}`);
  context.dispose();
  assert(status('RssAnon') - before < used / 2);
  assert.equal(liveObjects().contexts, 0);
  model.dispose();
});

test('N09 N11 N12 X11 dispose of a model; contexts keep it', async () => {
  const model = await Model.load(tiny);
  const contexts = [1, 2, 3].map(() => new Context(model, { nCtx: 2048 }));
  assert(isMapped(tiny));
  model.dispose();
  assert.equal(liveObjects().models, 1);
  contexts[0].dispose();
  assert.equal(typeof (await contexts[1].generate('abc', 3, greedy)), 'string');
  contexts[1].dispose();
  contexts[2].dispose();
  assert.equal(liveObjects().models, 0);
  assert(!isMapped(tiny));
});

test('N10 disposing in any order, twice; use afterwards throws', async () => {
  const model = await Model.load(tiny);
  const context = new Context(model, { nCtx: 64 });
  model.dispose();
  model.dispose();
  context.dispose();
  context.dispose();
  for (const use of [() => context.clear(), () => context.memoryInfo(), () => context.tokenCount, () => context.cancel()]) {
    assert.throws(use, { name: 'MullamaError', message: /disposed/ });
  }
  await assert.rejects(context.generate('a', 1), /disposed/);
  await assert.rejects(context.evaluate([1]), /disposed/);
  assert.throws(() => model.tokenize('a'), /disposed/);
  assert.throws(() => new Context(model), /disposed/);
  assert(model.nLayer > 0, 'what was read once stays');
  if (Symbol.dispose) assert.equal(typeof context[Symbol.dispose], 'function');
});

test('N10 disposing a context that is generating', async () => {
  // The whole answer would take many seconds.
  const context = new Context(await Model.load(tiny), { nCtx: 16384 });
  let ended = false;
  const answer = context.generateResult('abc', -1, greedy).finally(() => { ended = true; });
  while (!ended && context.tokenCount < 10) await new Promise(setImmediate);
  context.dispose();
  assert.equal((await answer).finishReason, 'canceled');
  assert.equal(liveObjects().contexts, 0);
});

test('N13 one model and three caches', { skip: withoutRealModel }, async () => {
  const model = await Model.load(real);
  const contexts = [1, 2, 3].map(() => new Context(model, { nCtx: 2048 }));
  const infos = contexts.map((context) => context.memoryInfo());
  const pools = Object.fromEntries(infos[2].pools.map((row) => [row.pool, row.bytes]));
  assert.equal(pools.kv, infos.reduce((sum, info) => sum + info.kvCacheSize, 0));
  assert.equal(pools['weights (mapped)'], infos[0].modelSize);
  for (const context of contexts) context.dispose();
  model.dispose();
});

test('N14 N17 types of the KV cache', async () => {
  const model = await Model.load(tiny);
  const bytes = (kvCacheType) => {
    const context = new Context(model, { nCtx: 256, kvCacheType });
    const { kvCacheSize } = context.memoryInfo();
    context.dispose();
    return kvCacheSize;
  };
  assert.equal(bytes('f16'), bytes(undefined));
  assert.equal(bytes('bf16'), bytes('f16'));
  assert.equal(bytes('f32'), 2 * bytes('f16'));
  assert.throws(() => bytes('q5_0'), { name: 'MullamaError', message: /f32, f16, bf16, q8_0, q4_0/ });
  model.dispose();
});

test('N19 N20 N21 N22 mapping and locking', async () => {
  let model = await Model.load(tiny);
  assert(isMapped(tiny));
  assert.equal(status('VmLck'), 0);
  model.dispose();
  const heard = [];
  model = await Model.loadWithParams(tiny, { useMlock: true, onWarning: (line) => heard.push(line) });
  assert(withoutMemoryMeasures || status('VmLck') >= model.sizeBytes || heard.some((line) => line.includes('ulimit -l')), `${heard}`);
  model.dispose();
  model = await Model.loadWithParams(tiny, { useMmap: false });
  assert(!isMapped(tiny));
  model.dispose();
});

test('N23 N24 sizes', async () => {
  const model = await Model.load(tiny);
  for (const nCtx of [512, 2048]) {
    const context = new Context(model, { nCtx });
    assert.equal(context.memoryInfo().contextSize, nCtx);
    context.dispose();
  }
  const scratch = [128, 2048].map((nBatch) => {
    const context = new Context(model, { nCtx: 2048, nBatch });
    const { scratchSize } = context.memoryInfo();
    context.dispose();
    return scratchSize;
  });
  assert(scratch[0] < scratch[1]);
  model.dispose();
});

test('N25 N26 X08 memoryInfo', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 256 });
  await context.evaluate([1, 2, 3]);
  const info = context.memoryInfo();
  assert(info instanceof MemoryInfo);
  for (const field of ['modelSize', 'kvCacheSize', 'tokenCount', 'contextSize', 'totalAllocated']) {
    assert.equal(typeof info[field], 'number');
  }
  assert.equal(info.tokenCount, 3);
  assert(info.totalAllocated >= info.modelSize + info.kvCacheSize);
  const kv = info.pools.find((pool) => pool.pool === 'kv');
  assert.equal(kv.planned, kv.bytes);
  assert(kv.residency.anonymous > 0 && kv.residency.resident <= kv.residency.mapped);
  assert(info.residency.resident > kv.residency.resident && info.beyondPools > 0);
  assert.deepEqual([info.unaccounted, info.lockAsked, info.lockAchieved], [0, 0, 0]);
  context.dispose();
});

test('N28 N29 GPU layers without a GPU: a warning, then the CPU', async () => {
  for (const nGpuLayers of [20, -1]) {
    const heard = [];
    const model = await Model.loadWithParams(tiny, { nGpuLayers, onWarning: (line) => heard.push(line) });
    assert.match(heard.join('\n'), /CPU/);
    model.dispose();
  }
  const warning = new Promise((resolve) => process.once('warning', resolve));
  const model = await Model.loadWithParams(tiny, { nGpuLayers: 1 });
  assert.equal((await warning).name, 'MullamaWarning');
  model.dispose();
});

test('N30 clear starts over in the same memory', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 256 });
  const first = await context.generate('abc', 12, greedy);
  const { totalAllocated } = context.memoryInfo();
  await context.generate('more', 5);
  context.clear();
  assert.equal(context.tokenCount, 0);
  assert.equal(await context.generate('abc', 12, greedy), first);
  assert.equal(context.memoryInfo().totalAllocated, totalAllocated);
  context.dispose();
});

test('N31 N33 G34 budget errors leave nothing', async () => {
  setMemoryBudget('64KiB');
  for (let i = 0; i < 100; ++i) {
    await assert.rejects(Model.load(tiny), (error) => {
      assert(error instanceof mullama.HostMemoryError);
      assert.equal(error.status, 'budget_exceeded');
      return error.message.includes('insufficient memory');
    });
  }
  setMemoryBudget('');
  assert(none());
  (await Model.load(tiny)).dispose();
});

test('streams give what generate gives; leaving one ends it', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 256 });
  const whole = await context.generateResult('abc', 20, greedy);
  context.clear();
  const stream = context.generateStream('abc', 20, greedy);
  let text = '';
  for await (const token of stream) text += token.text;
  assert.equal(text, whole.text);
  assert.deepEqual(stream.result.tokens, whole.tokens);
  context.clear();
  const given = [];
  for await (const token of context.generateStream('abc', greedy)) {
    given.push(token.id);
    if (given.length === 5) break;
  }
  assert.deepEqual([...given, ...(await context.generateResult('', 5, greedy)).tokens], whole.tokens.slice(0, 10));
  const other = context.generateStream('x', greedy);
  await other.next();
  await assert.rejects(context.generate('y', 1), /stream/);
  await other.return();
  context.dispose();
});

test('AbortSignal ends answers and streams', async () => {
  // The whole answer would take many seconds.
  const context = new Context(await Model.load(tiny), { nCtx: 16384 });
  await assert.rejects(context.generate('abc', { ...greedy, signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' });
  context.clear();
  await assert.rejects(context.generate('abc', { ...greedy, signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  let pieces = 0;
  await assert.rejects(async () => {
    for await (const _ of context.generateStream('abc', { ...greedy, signal: controller.signal })) {
      if (++pieces === 3) controller.abort();
    }
  }, { name: 'AbortError' });
  assert.equal(pieces, 3);
  context.clear();
  assert.equal((await context.generateResult('abc', 3, greedy)).generatedTokens, 3, 'the context goes on');
  // Before its work has begun an answer hears a cancel too.
  const early = context.generateResult('abc', -1, greedy);
  context.cancel();
  assert.equal((await early).finishReason, 'canceled');
  context.dispose();
});

test('a context answers one question at a time, and tells about itself meanwhile', async () => {
  const context = new Context(await Model.load(tiny), { nCtx: 2048 });
  const first = context.generate('abc', 200, greedy);
  await assert.rejects(context.generate('abc', 1), /await/);
  assert.throws(() => context.clear(), /await/);
  assert(context.memoryInfo().kvCacheSize > 0);
  assert(context.tokenCount <= 2048);
  await first;
  context.dispose();
});

test('G06 B5 four contexts at once, and four workers, give right answers', async () => {
  const model = await Model.load(tiny);
  const prompts = [0, 1, 2, 3].map((i) => `prompt ${i}`);
  const ask = async (prompt) => {
    const context = new Context(model, { nCtx: 256 });
    const text = await context.generate(prompt, 40, greedy);
    context.dispose();
    return text;
  };
  const expected = [];
  for (const prompt of prompts) expected.push(await ask(prompt));
  assert.deepEqual(await Promise.all(prompts.map(ask)), expected);
  model.dispose();
  const worker = (prompt) => new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: { tiny, prompt, greedy } });
    thread.once('message', resolve);
    thread.once('error', reject);
  });
  assert.deepEqual(await Promise.all(prompts.map(worker)), expected);
});

test('texts, templates, metadata, plan, embeddings', async () => {
  const model = await Model.load(tiny);
  assert.equal(model.detokenize(model.tokenize('Grüße, 世界', false)), 'Grüße, 世界');
  assert.equal(model.applyChatTemplate([{ role: 'user', content: 'Hi' }]), 'user: Hi\nassistant: ');
  assert.equal(model.metadata['general.architecture'], 'llama');
  assert.throws(() => model.tokenPiece(1e6), MullamaError);
  const planned = mullama.plan(tiny, {}, { nCtx: 512, kvCacheType: 'q8_0' });
  const context = new Context(model, { nCtx: 512, kvCacheType: 'q8_0' });
  assert.equal(planned.rows.find((row) => row.pool === 'kv').bytes, context.memoryInfo().kvCacheSize);
  const row = await context.embed('some text');
  assert.equal(row.length, model.nEmbd);
  assert(Math.abs(Math.hypot(...row) - 1) < 1e-5);
  assert.equal((await context.evaluate([1, 2])).length, model.vocabSize);
  assert.equal(typeof (await context.chat([{ role: 'user', content: 'Hi' }], 3, greedy)), 'string');
  context.dispose();
  model.dispose();
});

test('chatVariables reach the template', async () => {
  const model = await Model.load(tiny);
  const messages = [{ role: 'user', content: 'Hi' }];
  assert.equal(model.applyChatTemplate(messages, false, undefined, { mood: 'good' }), 'mood: good\nuser: Hi\n');
  const context = new Context(model, { nCtx: 256 });
  const plain = await context.chatResult(messages, 1, greedy);
  const moody = await context.chatResult(messages, 1, { ...greedy, chatVariables: { mood: 'good' } });
  assert(moody.promptTokens > plain.promptTokens);
  await assert.rejects(context.chat(messages, 1, { chatVariables: [1] }), TypeError);
  context.dispose();
  model.dispose();
});

test('grow lets an answer outgrow its context, and says so', async () => {
  const heard = [];
  const model = await Model.loadWithParams(tiny, { onWarning: (line) => heard.push(line) });
  const small = new Context(model, { nCtx: 64 });
  const cut = await small.generateResult('abc', 150, greedy);
  assert.deepEqual([cut.finishReason, cut.receipt.contextGrowths, heard.length], ['context_full', 0, 0]);
  const context = new Context(model, { nCtx: 64, grow: true });
  const whole = await context.generateResult('abc', 150, greedy);
  assert.deepEqual([whole.generatedTokens, whole.receipt.kvDemotions], [150, 0]);
  assert(whole.receipt.contextGrowths >= 1 && context.contextSize > 150);
  assert.equal(heard.length, whole.receipt.contextGrowths);
  const streaming = new Context(model, { nCtx: 64, grow: true });
  const ids = [];
  for await (const token of streaming.generateStream('abc', 150, greedy)) if (token.id >= 0) ids.push(token.id);
  assert.deepEqual(ids, whole.tokens);
  assert.equal(heard.length, 2 * whole.receipt.contextGrowths);
  for (const one of [small, context, streaming, model]) one.dispose();
});

test('a loop of evaluate and SamplerChain gives what generate gives', async () => {
  const model = await Model.load(tiny);
  const context = new Context(model, { nCtx: 256 });
  for (const sampler of [{ temperature: 0 }, { seed: 7, temperature: 0.9, repeatPenalty: 1.2, logitBias: { 5: 1.5 } }]) {
    context.clear();
    const whole = await context.generateResult('abc', 12, { sampler, ignoreEndOfGeneration: true });
    context.clear();
    const chain = new SamplerChain(model, sampler);
    const prompt = model.tokenize('abc', true, true);
    for (const token of prompt) chain.accept(token);
    const tokens = [];
    let logits = await context.evaluate(prompt);
    const first = logits.slice();
    while (tokens.length < 12) {
      tokens.push(chain.sample(logits));
      chain.accept(tokens.at(-1));
      const before = logits;
      logits = await context.evaluate([tokens.at(-1)]);
      if (tokens.length === 1) assert.deepEqual(before, first, 'a row is its own, not overwritten');
    }
    assert.deepEqual(tokens, whole.tokens);
    assert.equal(liveObjects().samplers, 1);
    chain.dispose();
    chain.dispose();
    assert.equal(liveObjects().samplers, 0);
    assert.throws(() => chain.sample(logits), /disposed/);
  }
  const chain = new SamplerChain(model);
  assert.throws(() => chain.sample([1, 2]), TypeError);
  assert.throws(() => chain.sample(new Float32Array(3)), MullamaError);
  assert.throws(() => chain.accept(1e6), MullamaError);
  assert.throws(() => new SamplerChain({}), TypeError);
  assert.throws(() => new SamplerChain(model, { topk: 1 }), /no topk/);
  chain.dispose();
  context.dispose();
  model.dispose();
});

test('wrong arguments are errors', async () => {
  const model = await Model.load(tiny);
  await assert.rejects(Model.load(5), TypeError);
  await assert.rejects(Model.loadWithParams(tiny, { useMap: true }), /no useMap/);
  assert.throws(() => new Context(model, { nCtx: 'many' }), TypeError);
  assert.throws(() => new Context(model, { nCtx: -1 }), MullamaError);
  assert.throws(() => new Context({}), TypeError);
  assert.throws(() => new Model(), TypeError);
  const context = new Context(model, { nCtx: 64 });
  await assert.rejects(context.generate(5), TypeError);
  await assert.rejects(context.generate('a', 'many'), TypeError);
  await assert.rejects(context.generate('a'.repeat(1000)), { status: 'context_full' });
  await assert.rejects(context.evaluate([-1]), MullamaError);
  context.dispose();
  model.dispose();
});
