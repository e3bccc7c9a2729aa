import { parentPort, workerData } from 'node:worker_threads';
import { Context, Model } from 'mullama';

const model = await Model.load(workerData.tiny);
const context = new Context(model, { nCtx: 256 });
const text = await context.generate(workerData.prompt, 40, workerData.greedy);
context.dispose();
model.dispose();
parentPort.postMessage(text);
