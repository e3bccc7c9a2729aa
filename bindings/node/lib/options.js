'use strict';

const { MullamaError } = require('./errors.js');

const MODEL = {
  useMmap: true, useMlock: false, mlockRequired: false, nGpuLayers: 0, nThreads: 0, isa: '', preTokenizer: '', vocabOnly: false,
  onWarning: undefined,
};
const CONTEXT = { nCtx: 0, nBatch: 512, kvCacheType: 'f16', kvCacheTypeV: undefined, kvRotate: true, lookup: 0, grow: false };
const SAMPLER = {
  seed: undefined, temperature: 0.8, dynamicTemperatureRange: 0, dynamicTemperatureExponent: 1, topK: 40, topP: 0.95, minP: 0.05,
  typicalP: 1, xtcProbability: 0, xtcThreshold: 0.1, repeatPenalty: 1, repeatLastN: 64, frequencyPenalty: 0, presencePenalty: 0,
  dryMultiplier: 0, dryBase: 1.75, dryAllowedLength: 2, dryPenaltyLastN: -1, drySequenceBreakers: ['\n', ':', '"', '*'],
  mirostat: 0, mirostatTau: 5, mirostatEta: 0.1, logitBias: {}, order: '',
};
const GENERATE = {
  maxTokens: -1, sampler: {}, stop: [], ignoreEndOfGeneration: false, parseSpecial: true, renderSpecial: false, grammar: '', jsonSchema: '',
  chatVariables: {}, signal: undefined,
};

const INTEGERS = new Set([
  'nGpuLayers', 'nThreads', 'nCtx', 'nBatch', 'lookup', 'seed', 'topK', 'repeatLastN', 'dryAllowedLength', 'dryPenaltyLastN', 'mirostat', 'maxTokens',
]);
const UNSIGNED = new Set(['nThreads', 'nCtx', 'nBatch', 'lookup', 'seed']);

function checked(name, value, standard, what) {
  const expected = standard === undefined ? undefined : Array.isArray(standard) ? 'array' : typeof standard;
  const actual = Array.isArray(value) ? 'array' : typeof value;
  if (expected !== undefined && actual !== expected) {
    throw new TypeError(`${what}: ${name} is of type ${expected}, not ${value === null ? 'null' : actual}`);
  }
  if (INTEGERS.has(name)) {
    const lowest = UNSIGNED.has(name) ? 0 : -(2 ** 31);
    const highest = name === 'seed' ? Number.MAX_SAFE_INTEGER : UNSIGNED.has(name) ? 2 ** 32 - 1 : 2 ** 31 - 1;
    if (!Number.isInteger(value) || value < lowest || value > highest) {
      throw new MullamaError(`${what}: ${name} is a whole number from ${lowest} to ${highest}, not ${value}`, 'invalid_argument');
    }
  }
  return value;
}

/** The given options over the standard ones; a name that is none of them, or a wrong type, is an error. */
function fill(given, standard, what) {
  const filled = { ...standard };
  if (given === undefined || given === null) return filled;
  if (typeof given !== 'object') throw new TypeError(`${what} are an object`);
  for (const [name, value] of Object.entries(given)) {
    if (!(name in standard)) throw new TypeError(`${what}: there is no ${name}`);
    if (value !== undefined) filled[name] = checked(name, value, standard[name], what);
  }
  return filled;
}

const modelParams = (given) => fill(given, MODEL, 'model parameters');
const contextParams = (given) => fill(given, CONTEXT, 'context parameters');

function samplerParams(given) {
  const filled = fill(given, SAMPLER, 'sampler parameters');
  filled.logitBias = Object.entries(filled.logitBias).map(([token, bias]) => [Number(token), bias]);
  return filled;
}

/** Variables of a chat template as JSON; empty without any. */
function variablesText(given) {
  if (given === undefined) return '';
  if (given === null || typeof given !== 'object' || Array.isArray(given)) throw new TypeError('variables of a chat template are an object');
  return Object.keys(given).length === 0 ? '' : JSON.stringify(given);
}

function generateOptions(maxTokens, options) {
  const [count, rest] = typeof maxTokens === 'object' && maxTokens !== null ? [undefined, maxTokens] : [maxTokens, options];
  const filled = fill(rest, GENERATE, 'generate options');
  if (count !== undefined) filled.maxTokens = checked('maxTokens', count, -1, 'generate options');
  filled.sampler = samplerParams(filled.sampler);
  filled.chatVariables = variablesText(filled.chatVariables);
  return filled;
}

module.exports = { modelParams, contextParams, samplerParams, generateOptions, variablesText };
