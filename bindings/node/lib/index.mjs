import mullama from './index.js';

export const {
  Context, GpuMemoryError, HostMemoryError, KvCacheType, MemoryInfo, Model, MullamaError, TokenStream, liveObjects, plan,
  setMemoryBudget, version,
} = mullama;
export default mullama;
