import mullama from './index.js';

export const {
  Context, GpuMemoryError, HostMemoryError, KvCacheType, MemoryInfo, Model, MullamaError, SamplerChain, TokenStream, liveObjects,
  plan, setMemoryBudget, version,
} = mullama;
export default mullama;
