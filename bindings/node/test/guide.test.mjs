// The guide's samples, letter for letter, on a real model. A sample that leans on names of an earlier one gets them from lines before
// it; lines after it give what it made to the test.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { setMemoryBudget } from 'mullama';
import { guideFolder, samples, withoutRealModel } from './support.mjs';

const options = { skip: withoutRealModel };
const folder = withoutRealModel ? '' : guideFolder();
if (folder) process.chdir(folder);
const imports = "import { Model, Context } from 'mullama';\n";
const model = "const model = await Model.load('./model.gguf');\n";

async function run(name, names, before = '') {
  const file = path.join(folder, `${name}.mjs`);
  const source = fs.readFileSync(path.join(samples, `${name}.mjs`), 'utf8');
  fs.writeFileSync(file, `${before}${source}\nexport { ${names.join(', ')} };\n`);
  return import(pathToFileURL(file).href);
}

async function printed(method, work) {
  const lines = [];
  const original = console[method];
  console[method] = (...parts) => lines.push(parts.join(' '));
  try {
    return [await work(), lines];
  } finally {
    console[method] = original;
  }
}

test('N01 N03 N04 N05 N34 sample 1: scopes and explicit cleanup', options, async () => {
  const sample = await run('01_raii', ['processQuery', 'explicitCleanup']);
  assert.equal(typeof (await sample.processQuery('Once upon a time')), 'string');
  assert.equal(typeof (await sample.explicitCleanup()), 'string');
});

test('N11 N34 sample 2: contexts share a model', options, async () => {
  const sample = await run('02_shared_model', ['model', 'context1', 'context2', 'context3']);
  assert.deepEqual([sample.context1, sample.context2, sample.context3].map((context) => context.contextSize), [2048, 2048, 2048]);
});

test('N14 N15 N16 G02 N34 sample 3: types of the KV cache', options, async () => {
  const sample = await run('03_kv_cache_type', ['contextF16', 'contextQ8', 'contextQ4']);
  const [f16, q8, q4] = [sample.contextF16, sample.contextQ8, sample.contextQ4].map((context) => context.memoryInfo().kvCacheSize);
  assert(q8 / f16 > 0.5 && q8 / f16 < 0.55);  // real blocks carry a scale
  assert(q4 / f16 > 0.25 && q4 / f16 < 0.3);
});

test('N18 N34 sample 4: mapping and locking', options, async () => {
  const sample = await run('04_mapped_loading', ['model', 'lockedModel'], imports);
  assert.equal(sample.model.sizeBytes, sample.lockedModel.sizeBytes);
});

test('N23 N34 sample 5: context sizes', options, async () => {
  const sample = await run('05_context_size', ['shortContext', 'chatContext', 'longContext'], imports + model);
  const bytes = [sample.shortContext, sample.chatContext, sample.longContext].map((context) => context.memoryInfo().kvCacheSize);
  assert.equal(bytes[1], 8 * bytes[0]);
  assert.equal(bytes[2], 64 * bytes[0]);
});

test('N24 N34 sample 6: batch sizes', options, async () => {
  const sample = await run('06_batch_size', ['context', 'fastContext'], imports + model);
  assert.equal(sample.context.tokenCount, 0);
});

test('N02 N25 N26 T30 N34 sample 7: monitoring', options, async () => {
  const [{ info }, lines] = await printed('log', () => run('07_monitoring', ['info', 'MemoryInfo']));
  const total = Math.round(info.totalAllocated / 1e7);
  assert.deepEqual(lines, [
    'Model size: 0.10 GB',
    'KV cache: 94 MB',
    'Context usage: 0/4096 tokens',
    `Total allocated: ${Math.floor(total / 100)}.${String(total % 100).padStart(2, '0')} GB`,
  ]);
});

test('N27 N34 sample 8: a small context', options, async () => {
  const { context } = await run('08_small_context', ['context'], imports + model);
  const info = context.memoryInfo();
  assert.deepEqual([info.contextSize, info.keyType, info.valueType], [512, 'q4_0', 'q4_0']);
});

test('N28 N34 sample 9: partial offload', options, async () => {
  const sample = await run('09_partial_offload', ['model'], imports);
  assert(sample.model.nLayer > 0);
});

test('N30 N34 sample 10: reuse', options, async () => {
  const before = `${imports}${model}const prompts = ['A cat', 'A dog'];\n`;
  const [, lines] = await printed('log', () => run('10_reuse', ['context'], before));
  assert.equal(lines.length, 2);
});

test('N31 N33 G39 N34 sample 11: out of memory falls back', options, async () => {
  const { loadWithFallback } = await run('11_out_of_memory', ['loadWithFallback']);
  setMemoryBudget('16MiB');
  const warned = [];
  const original = console.warn;
  // The first try has failed by then; the budget stands in for a device that holds 20 layers, but not all.
  console.warn = (line) => {
    warned.push(line);
    setMemoryBudget('');
  };
  try {
    const loaded = await loadWithFallback('./model.gguf');
    assert(loaded.vocabSize > 0);
  } finally {
    console.warn = original;
    setMemoryBudget('');
  }
  assert.deepEqual(warned, ['Full GPU offload failed, trying partial...']);
});

test('N32 N34 sample 11: other errors are thrown again', options, async () => {
  const { loadWithFallback } = await run('11_out_of_memory', ['loadWithFallback']);
  await assert.rejects(loadWithFallback('./missing.gguf'), (error) => {
    assert.equal(error.status, 'not_found');
    assert(!error.message.includes('CUDA out of memory') && !error.message.includes('insufficient memory'));
    return true;
  });
});
