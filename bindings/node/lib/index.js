'use strict';

const path = require('node:path');
const native = require(path.join(__dirname, '..', 'dist', 'mullama.node'));
const { MullamaError, GpuMemoryError, HostMemoryError, makeError } = require('./errors.js');
const { modelParams, contextParams, samplerParams, generateOptions, variablesText } = require('./options.js');

native.onError(makeError);

const DISPOSE = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/** How keys and values of past tokens are kept. */
const KvCacheType = Object.freeze({ F32: 'f32', F16: 'f16', BF16: 'bf16', Q8_0: 'q8_0', Q4_0: 'q4_0' });

/** Memory behind one context, in bytes, but for tokenCount and contextSize. All numbers are Numbers. */
class MemoryInfo {
  constructor(fields) {
    Object.assign(this, fields);
    Object.freeze(this);
  }
}

function tellWarnings(handle, onWarning) {
  for (const line of handle.takeWarnings()) {
    if (onWarning) onWarning(line);
    else process.emitWarning(line, 'MullamaWarning');
  }
}

/** A loaded model, shared by the contexts made from it, which keep it alive. */
class Model {
  #handle;
  #properties;
  #onWarning;

  constructor(handle, onWarning, key) {
    if (key !== DISPOSE) throw new TypeError('use await Model.load(path) or await Model.loadWithParams(path, params)');
    this.#handle = handle;
    this.#onWarning = onWarning;
    this.#properties = Object.freeze(handle.properties());
  }

  static load(path) {
    return Model.loadWithParams(path, {});
  }

  static async loadWithParams(path, params) {
    if (typeof path !== 'string') throw new TypeError('the path of a model is a string');
    const filled = modelParams(params);
    const handle = await native.loadModel(path, filled);
    tellWarnings(handle, filled.onWarning);
    return new Model(handle, filled.onWarning, DISPOSE);
  }

  /** For what is made from a model. */
  static _open(model, make) {
    if (!(model instanceof Model)) throw new TypeError('this is made from a Model');
    const made = make(model.#handle, model.#onWarning);
    tellWarnings(model.#handle, model.#onWarning);
    return made;
  }

  /** Drops this reference now. The memory goes with the last context. */
  dispose() {
    this.#handle.close();
  }
  [DISPOSE]() {
    this.dispose();
  }

  tokenize(text, addSpecial = true, parseSpecial = false) {
    return this.#handle.tokenize(String(text), addSpecial, parseSpecial);
  }
  detokenize(tokens, renderSpecial = false) {
    return this.#handle.detokenize(Array.from(tokens), renderSpecial);
  }
  /** The bytes of one token, which may be a part of a character. */
  tokenPiece(token, renderSpecial = true) {
    return this.#handle.tokenPiece(token, renderSpecial);
  }
  /** The prompt of a conversation; `variables` are further ones of the template. */
  applyChatTemplate(messages, addGenerationPrompt = true, tools = undefined, variables = undefined) {
    return this.#handle.applyChatTemplate(
      JSON.stringify(messages), addGenerationPrompt, tools ? JSON.stringify(tools) : '', variablesText(variables),
    );
  }
  isEndOfGeneration(token) {
    return this.#handle.isEndOfGeneration(token);
  }

  get architecture() { return this.#properties.architecture; }
  get name() { return this.#properties.name; }
  get vocabSize() { return this.#properties.vocabSize; }
  get nLayer() { return this.#properties.nLayer; }
  get nEmbd() { return this.#properties.nEmbd; }
  get nCtxTrain() { return this.#properties.nCtxTrain; }
  get parameterCount() { return this.#properties.parameterCount; }
  get sizeBytes() { return this.#properties.sizeBytes; }
  get bos() { return this.#properties.bos; }
  get eos() { return this.#properties.eos; }
  get metadata() { return this.#handle.metadata(); }
}

/** An answer under way: for await takes it token by token; leaving the loop ends it. */
class TokenStream {
  #handle;
  #begin;
  #tell;
  #signal;
  #started = false;
  #ended = false;
  #result;

  constructor(handle, begin, tell, signal) {
    this.#handle = handle;
    this.#begin = begin;
    this.#tell = tell;
    this.#signal = signal;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
    if (this.#ended) return { done: true, value: undefined };
    return abortable(this.#handle, this.#signal, async () => {
      try {
        if (!this.#started) {
          this.#started = true;
          await this.#begin();
        }
        const piece = await this.#handle.next();
        this.#tell();
        if (piece.result === undefined) return { done: false, value: piece };
        this.#result = piece.result;
        this.#ended = true;
        return { done: true, value: undefined };
      } catch (error) {
        this.#ended = true;
        throw error;
      }
    }).catch(async (error) => {
      // An abort leaves a stream that nobody will take further.
      if (!this.#ended) await this.return();
      throw error;
    });
  }

  /** Ends the answer; what was given stays in the context. */
  async return(value) {
    if (!this.#ended) {
      this.#ended = true;
      if (this.#started) this.#result = this.#handle.stop() ?? undefined;
    }
    return { done: true, value };
  }

  /** What the answer took, once it has ended. */
  get result() {
    return this.#result;
  }
}

/** Runs `work` on a context; once `signal` aborts, the answer ends and the promise rejects with the signal's reason. */
async function abortable(handle, signal, work) {
  if (signal === undefined) return work();
  signal.throwIfAborted();
  const onAbort = () => {
    if (!handle.isClosed()) handle.cancel();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const value = await work();
    signal.throwIfAborted();
    return value;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function kindOf(prompt) {
  if (typeof prompt === 'string') return ['text', prompt];
  if (Array.isArray(prompt) || prompt instanceof Int32Array) return ['tokens', Array.from(prompt)];
  throw new TypeError('a prompt is a string or an array of token ids');
}

/** One conversation's state: its tokens and their KV cache. Without clear(), the next answer continues the text. */
class Context {
  #handle;
  #onWarning;

  constructor(model, params) {
    const filled = contextParams(params);
    this.#handle = Model._open(model, (handle, onWarning) => {
      this.#onWarning = onWarning;
      return new native.NativeContext(handle, filled);
    });
  }

  /** Frees the context's memory now; an answer under way ends first. */
  dispose() {
    this.#handle.close();
  }
  [DISPOSE]() {
    this.dispose();
  }

  /** Continues the raw text (or token ids) `prompt`; resolves to the text. */
  async generate(prompt, maxTokens, options) {
    return (await this.generateResult(prompt, maxTokens, options)).text;
  }
  /** The same with all that is known about the answer. */
  async generateResult(prompt, maxTokens, options) {
    return this.#run(...kindOf(prompt), generateOptions(maxTokens, options));
  }
  /** The same as an async iterator of { id, text, logprob }. */
  generateStream(prompt, maxTokens, options) {
    return this.#stream(...kindOf(prompt), generateOptions(maxTokens, options));
  }

  /** Answers a conversation, an array of { role, content }, by the model's chat template. */
  async chat(messages, maxTokens, options) {
    return (await this.chatResult(messages, maxTokens, options)).text;
  }
  async chatResult(messages, maxTokens, options) {
    return this.#run('chat', JSON.stringify(messages), generateOptions(maxTokens, options));
  }
  chatStream(messages, maxTokens, options) {
    return this.#stream('chat', JSON.stringify(messages), generateOptions(maxTokens, options));
  }

  #run(kind, prompt, options) {
    return abortable(this.#handle, options.signal, async () => {
      const result = await this.#handle.generate(kind, prompt, options);
      tellWarnings(this.#handle, this.#onWarning);
      return result;
    });
  }
  #stream(kind, prompt, options) {
    const handle = this.#handle;
    const onWarning = this.#onWarning;
    return new TokenStream(handle, () => handle.start(kind, prompt, options), () => tellWarnings(handle, onWarning), options.signal);
  }

  /** Appends tokens; resolves to the logits after the last one, a Float32Array of vocabSize. */
  async evaluate(tokens) {
    return this.#handle.evaluate(Array.from(tokens));
  }
  /** The embedding of a text, a Float32Array of nEmbd; the context is cleared. */
  async embed(text, { pooling = 'mean', normalize = true } = {}) {
    return this.#handle.embed(String(text), pooling, normalize);
  }

  /** Starts over without reallocating. */
  clear() {
    this.#handle.clear();
  }
  /** Ends the answer under way. */
  cancel() {
    this.#handle.cancel();
  }
  /** Gives the physical memory of unused KV pages back to the system. */
  releaseIdle() {
    this.#handle.releaseIdle();
  }
  memoryInfo() {
    return new MemoryInfo(this.#handle.memoryInfo());
  }
  get tokenCount() {
    return this.#handle.tokenCount();
  }
  get contextSize() {
    return this.#handle.contextSize();
  }
}

/** Chooses tokens from logits by the same chain that the generating methods use. */
class SamplerChain {
  #handle;

  constructor(model, params) {
    const filled = samplerParams(params);
    this.#handle = Model._open(model, (handle) => new native.NativeSampler(handle, filled));
  }

  /** Frees the chain now. */
  dispose() {
    this.#handle.close();
  }
  [DISPOSE]() {
    this.dispose();
  }

  /** Chooses a token; `logits` has as many values as the vocabulary has tokens. */
  sample(logits) {
    if (!(logits instanceof Float32Array)) throw new TypeError('logits are a Float32Array');
    return this.#handle.sample(logits);
  }
  /** Tells the penalties what was chosen. */
  accept(token) {
    if (!Number.isInteger(token)) throw new TypeError('a token is a whole number');
    this.#handle.accept(token);
  }
  /** Forgets what was chosen. */
  reset() {
    this.#handle.reset();
  }
}

/** Every byte that a model and one context on it will take, from the file's header alone. */
function plan(path, modelOptions, contextOptions) {
  const made = JSON.parse(native.plan(String(path), modelParams(modelOptions), contextParams(contextOptions)));
  return {
    contextSize: made.context_size, sequences: made.sequences, batchSize: made.batch_size, keyType: made.key_type,
    valueType: made.value_type, rows: made.rows, total: made.total, recommended: made.recommended, available: made.available,
    limitedBy: made.limited_by, budget: made.budget, fits: made.fits, weightsAreStreamed: made.weights_are_streamed,
    alternatives: made.alternatives,
  };
}

module.exports = {
  Context, GpuMemoryError, HostMemoryError, KvCacheType, MemoryInfo, Model, MullamaError, SamplerChain, TokenStream,
  liveObjects: native.liveObjects, plan, setMemoryBudget: native.setMemoryBudget, version: () => native.version,
};
