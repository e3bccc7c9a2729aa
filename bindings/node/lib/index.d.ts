/** How keys and values of past tokens are kept. */
export type KvCacheTypeName = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0';
export declare const KvCacheType: Readonly<Record<'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0', KvCacheTypeName>>;

export type Status =
  | 'invalid_argument' | 'not_found' | 'corrupt_file' | 'unsupported' | 'io' | 'budget_exceeded' | 'out_of_memory'
  | 'gpu_out_of_memory' | 'context_full' | 'canceled' | 'permission' | 'unavailable' | 'download' | 'timeout' | 'internal';

/** Any failure of Mullama. */
export declare class MullamaError extends Error {
  constructor(message: string, status?: Status);
  readonly status: Status;
}
/** A device has no memory left for what was asked. */
export declare class GpuMemoryError extends MullamaError {}
/** The host's memory, or the budget given for it, does not suffice. */
export declare class HostMemoryError extends MullamaError {}

export interface ModelParams {
  /** Map the file (true), or copy the weights into memory of the process. */
  useMmap?: boolean;
  /** Lock weights and KV cache in memory, as far as the limit allows. Default: false. */
  useMlock?: boolean;
  /** Fail the load if not everything can be locked. */
  mlockRequired?: boolean;
  /** Layers to offload; -1 is all. Without a GPU backend: a warning, then the CPU. */
  nGpuLayers?: number;
  /** 0: as many as the process may use. */
  nThreads?: number;
  isa?: string;
  preTokenizer?: string;
  vocabOnly?: boolean;
  /** Receives one line a warning. Default: process.emitWarning(). */
  onWarning?: (line: string) => void;
}

export interface ContextParams {
  /** Tokens it holds; 0: 4096, or what the model was trained for if that is less. */
  nCtx?: number;
  /** Tokens computed at once while reading a prompt. Default: 512. */
  nBatch?: number;
  /** Default: 'f16'. */
  kvCacheType?: KvCacheTypeName;
  /** For values, if not as for keys. */
  kvCacheTypeV?: KvCacheTypeName;
  kvRotate?: boolean;
  /** Tokens that a step may guess from the text so far; answers are the same, and sooner where they repeat. Default: 0. */
  lookup?: number;
  /** Whether an answer that fills the context goes on in a larger one, as far as the budget reaches; the receipt counts how often. */
  grow?: boolean;
}

export interface SamplerParams {
  /** Default: a random one, which the result tells. */
  seed?: number;
  /** Default: 0.8; 0: always the most likely token. */
  temperature?: number;
  dynamicTemperatureRange?: number;
  dynamicTemperatureExponent?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  typicalP?: number;
  xtcProbability?: number;
  xtcThreshold?: number;
  repeatPenalty?: number;
  repeatLastN?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  dryMultiplier?: number;
  dryBase?: number;
  dryAllowedLength?: number;
  dryPenaltyLastN?: number;
  drySequenceBreakers?: string[];
  mirostat?: 0 | 1 | 2;
  mirostatTau?: number;
  mirostatEta?: number;
  logitBias?: Record<number, number>;
  order?: string;
}

export interface GenerateOptions {
  /** Default: -1, until the model stops or the context is full. */
  maxTokens?: number;
  sampler?: SamplerParams;
  stop?: string[];
  ignoreEndOfGeneration?: boolean;
  parseSpecial?: boolean;
  renderSpecial?: boolean;
  grammar?: string;
  jsonSchema?: string;
  /** For conversations: further variables of the template, such as { enable_thinking: false }. */
  chatVariables?: Record<string, unknown>;
  /** Ends the answer; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Receipt {
  readonly kvBytes: number;
  readonly peakScratch: number;
  readonly prefixBytesReused: number;
  readonly pagesEvicted: number;
  readonly tokensCut: number;
  /** Times that a larger context took over, */
  readonly contextGrowths: number;
  /** and of them those with keys or values in a smaller type. */
  readonly kvDemotions: number;
}

export interface GenerateResult {
  readonly text: string;
  readonly tokens: number[];
  readonly finishReason: 'stop' | 'length' | 'canceled' | 'context_full';
  readonly seed: number;
  readonly promptTokens: number;
  readonly promptEvaluated: number;
  readonly generatedTokens: number;
  /** Guessed by lookup, */
  readonly draftedTokens: number;
  /** and of them those that were right. */
  readonly acceptedTokens: number;
  readonly promptSeconds: number;
  readonly generateSeconds: number;
  readonly receipt: Receipt;
}

export interface StreamToken {
  /** -1: none, as in a last piece of held back text. */
  readonly id: number;
  readonly text: string;
  readonly logprob: number;
}

/** An answer under way: `for await` takes it token by token; leaving the loop ends it. */
export declare class TokenStream implements AsyncIterableIterator<StreamToken> {
  private constructor();
  [Symbol.asyncIterator](): this;
  next(): Promise<IteratorResult<StreamToken, undefined>>;
  return(value?: undefined): Promise<IteratorResult<StreamToken, undefined>>;
  /** What the answer took, once it has ended. */
  readonly result: GenerateResult | undefined;
}

/** What backs memory at this moment, as the operating system says, in bytes; zeros where it does not. */
export interface Residency {
  /** Address space. */
  readonly mapped: number;
  /** In memory: a share of the process's RSS. */
  readonly resident: number;
  /** Resident pages equal to their file, given back without a write. */
  readonly clean: number;
  /** Resident pages of no file: only swap could take them. */
  readonly anonymous: number;
  /** Resident pages of locked mappings: achieved, not asked. */
  readonly locked: number;
  readonly swapped: number;
}

/** One pool of one device in the account book of the process. */
export interface PoolUsage {
  readonly device: string;
  readonly pool: string;
  readonly bytes: number;
  readonly peak: number;
  /** What the plan said before the bytes were taken. */
  readonly planned: number;
  /** Of host memory. */
  readonly residency: Residency;
}

/** Memory behind one context, in bytes, but for tokenCount and contextSize. */
export declare class MemoryInfo {
  private constructor();
  readonly modelSize: number;
  readonly kvCacheSize: number;
  readonly tokenCount: number;
  readonly contextSize: number;
  readonly totalAllocated: number;
  readonly kvCacheUsed: number;
  readonly scratchSize: number;
  readonly outputSize: number;
  readonly tokenizerSize: number;
  readonly keyType: KvCacheTypeName;
  readonly valueType: KvCacheTypeName;
  /** What useMlock was to lock of weights and KV cache, */
  readonly lockAsked: number;
  /** and did; KV pages are locked as they come into use. */
  readonly lockAchieved: number;
  /** The account book of the whole process. */
  readonly pools: ReadonlyArray<PoolUsage>;
  /** The whole process. */
  readonly residency: Residency;
  /** Sum over pools of the differences between bytes and planned: 0 while nothing loads. */
  readonly unaccounted: number;
  /** Resident bytes in no pool: program code, heap, stacks. */
  readonly beyondPools: number;
}

export interface ChatMessage {
  role: string;
  content: unknown;
  [field: string]: unknown;
}

/** A loaded model, shared by the contexts made from it, which keep it alive. */
export declare class Model {
  private constructor();
  static load(path: string): Promise<Model>;
  static loadWithParams(path: string, params: ModelParams): Promise<Model>;
  /** Drops this reference now. The memory goes with the last context. Also as Symbol.dispose. */
  dispose(): void;
  tokenize(text: string, addSpecial?: boolean, parseSpecial?: boolean): number[];
  detokenize(tokens: Iterable<number>, renderSpecial?: boolean): string;
  /** The bytes of one token, which may be a part of a character. */
  tokenPiece(token: number, renderSpecial?: boolean): Uint8Array;
  applyChatTemplate(messages: ChatMessage[], addGenerationPrompt?: boolean, tools?: unknown[], variables?: Record<string, unknown>): string;
  isEndOfGeneration(token: number): boolean;
  readonly architecture: string;
  readonly name: string;
  readonly vocabSize: number;
  readonly nLayer: number;
  readonly nEmbd: number;
  readonly nCtxTrain: number;
  readonly parameterCount: number;
  readonly sizeBytes: number;
  readonly bos: number | null;
  readonly eos: number | null;
  readonly metadata: Record<string, string>;
}

type Prompt = string | number[] | Int32Array;

/** One conversation's state: its tokens and their KV cache. Without clear(), the next answer continues the text. */
export declare class Context {
  constructor(model: Model, params?: ContextParams);
  /** Frees the context's memory now; an answer under way ends first. Also as Symbol.dispose. */
  dispose(): void;
  generate(prompt: Prompt, maxTokens?: number, options?: GenerateOptions): Promise<string>;
  generate(prompt: Prompt, options: GenerateOptions): Promise<string>;
  generateResult(prompt: Prompt, maxTokens?: number, options?: GenerateOptions): Promise<GenerateResult>;
  generateResult(prompt: Prompt, options: GenerateOptions): Promise<GenerateResult>;
  generateStream(prompt: Prompt, maxTokens?: number, options?: GenerateOptions): TokenStream;
  generateStream(prompt: Prompt, options: GenerateOptions): TokenStream;
  chat(messages: ChatMessage[], maxTokens?: number, options?: GenerateOptions): Promise<string>;
  chat(messages: ChatMessage[], options: GenerateOptions): Promise<string>;
  chatResult(messages: ChatMessage[], maxTokens?: number, options?: GenerateOptions): Promise<GenerateResult>;
  chatResult(messages: ChatMessage[], options: GenerateOptions): Promise<GenerateResult>;
  chatStream(messages: ChatMessage[], maxTokens?: number, options?: GenerateOptions): TokenStream;
  chatStream(messages: ChatMessage[], options: GenerateOptions): TokenStream;
  /** Appends tokens; the logits after the last one, an array of its own. */
  evaluate(tokens: Iterable<number>): Promise<Float32Array>;
  /** The embedding of a text; the context is cleared. */
  embed(text: string, options?: { pooling?: 'mean' | 'first' | 'last'; normalize?: boolean }): Promise<Float32Array>;
  /** Starts over without reallocating. */
  clear(): void;
  /** Ends the answer under way. */
  cancel(): void;
  /** Gives the physical memory of unused KV pages back to the system. */
  releaseIdle(): void;
  memoryInfo(): MemoryInfo;
  readonly tokenCount: number;
  readonly contextSize: number;
}

/** Chooses tokens from logits by the same chain that the generating methods use. */
export declare class SamplerChain {
  constructor(model: Model, params?: SamplerParams);
  /** Frees the chain now. Also as Symbol.dispose. */
  dispose(): void;
  /** Chooses a token; `logits` has as many values as the vocabulary has tokens. */
  sample(logits: Float32Array): number;
  /** Tells the penalties what was chosen. */
  accept(token: number): void;
  /** Forgets what was chosen. */
  reset(): void;
}

export interface MemoryPlan {
  contextSize: number;
  sequences: number;
  batchSize: number;
  keyType: KvCacheTypeName;
  valueType: KvCacheTypeName;
  rows: { device: string; pool: string; bytes: number; why: string }[];
  total: number;
  /** A fifth more than calculated. */
  recommended: number;
  available: number;
  /** By what: 'the system', or a cgroup's folder. */
  limitedBy: string;
  budget: number | null;
  fits: boolean;
  /** Mapped weights will be read from disk again and again. */
  weightsAreStreamed: boolean;
  /** What would fit, if it does not: flags in the words of the command line. */
  alternatives: { flags: string; bytes: number }[];
}

/** Every byte that a model and one context on it will take, from the file's header alone. */
export declare function plan(path: string, modelParams?: ModelParams, contextParams?: ContextParams): MemoryPlan;
/** A hard limit on all memory of this process: '2GiB', 'host=2GiB,gpu0=1GiB', 'auto', or '' for none. */
export declare function setMemoryBudget(budget: string): void;
/** Native objects alive, for tests. */
export declare function liveObjects(): { models: number; contexts: number; batches: number; samplers: number; streams: number };
export declare function version(): string;
