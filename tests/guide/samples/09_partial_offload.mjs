// Offload only 20 of 32 layers to GPU
const model = await Model.loadWithParams('./model.gguf', {
  nGpuLayers: 20,
});
