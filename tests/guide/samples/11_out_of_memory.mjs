import { Model } from 'mullama';

async function loadWithFallback(modelPath) {
  try {
    // Try full GPU offload first
    return await Model.loadWithParams(modelPath, { nGpuLayers: -1 });
  } catch (error) {
    if (error.message.includes('CUDA out of memory') ||
        error.message.includes('insufficient memory')) {
      console.warn('Full GPU offload failed, trying partial...');
      return await Model.loadWithParams(modelPath, { nGpuLayers: 20 });
    }
    throw error;
  }
}
