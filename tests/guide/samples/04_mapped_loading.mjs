// mmap is enabled by default
const model = await Model.loadWithParams('./model.gguf', {
  useMmap: true,   // Default: true
  useMlock: false,  // Default: false
});

// mlock keeps all pages in RAM (prevents swapping)
const lockedModel = await Model.loadWithParams('./model.gguf', {
  useMmap: true,
  useMlock: true,  // Pin all pages in physical RAM
});
