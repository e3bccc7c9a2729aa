// One API in three languages: the names of tests/names.json, which every language's suite checks against its own; here in camelCase.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import * as mullama from 'mullama';
import { greedy, root, tiny } from './support.mjs';

const { Context, KvCacheType, Model, liveObjects, plan, setMemoryBudget } = mullama;
const options = createRequire(import.meta.url)('../lib/options.js');
const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const isType = (name) => /^[A-Z]/.test(name);

/** What a class shows: methods, properties and static functions. */
function members(type) {
  const inherited = Object.getOwnPropertyNames(type.prototype).filter((name) => name !== 'constructor');
  const statics = Object.getOwnPropertyNames(type).filter((name) => !['length', 'name', 'prototype'].includes(name));
  return [...inherited, ...statics].filter((name) => !name.startsWith('_'));
}

/** The names of what calls really give, and of the options that they take. */
async function exported() {
  const exports = Object.keys(mullama).filter((name) => name !== 'default');
  const context = new Context(await Model.load(tiny), { nCtx: 256 });
  const result = await context.generateResult('abc', 2, greedy);
  const { value: token } = await context.generateStream('abc', 2, greedy).next();
  const info = context.memoryInfo();
  context.dispose();
  // A byte too little, so that the plan names other ways.
  setMemoryBudget(String(plan(tiny, {}, { nCtx: 2048 }).total - 1));
  const planned = plan(tiny, {}, { nCtx: 2048 });
  setMemoryBudget('');
  const found = {
    functions: exports.filter((name) => !isType(name)),
    types: exports.filter(isType),
    KvCacheType: Object.keys(KvCacheType),
  };
  for (const name of ['Model', 'Context', 'SamplerChain', 'TokenStream']) found[name] = members(mullama[name]);
  const objects = {
    ModelParams: options.modelParams(), ContextParams: options.contextParams(), SamplerParams: options.samplerParams(),
    GenerateOptions: options.generateOptions(), GenerateResult: result, Receipt: result.receipt, StreamToken: token, MemoryInfo: info,
    Residency: info.residency, PoolUsage: info.pools[0], MemoryPlan: planned, PlanRow: planned.rows[0], PlanAlternative: planned.alternatives[0],
    LiveObjects: liveObjects(),
  };
  for (const [name, object] of Object.entries(objects)) found[name] = Object.keys(object);
  return found;
}

test('G38 names are those of the table', async () => {
  const table = JSON.parse(fs.readFileSync(path.join(root, 'tests', 'names.json'), 'utf8'));
  const found = await exported();
  assert.deepEqual(Object.keys(found).sort(), Object.keys(table).sort());
  for (const [owner, languages] of Object.entries(table)) {
    const ours = Object.entries(languages).filter(([whose]) => whose === 'all' || whose.split(' ').includes('node'));
    const wanted = ours.flatMap(([, names]) => names);
    assert.deepEqual(found[owner].sort(), wanted.map(owner === 'KvCacheType' ? String : camelCase).sort(), owner);
  }
});
