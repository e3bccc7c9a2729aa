import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
export const samples = path.join(root, 'tests', 'guide', 'samples');
export const tiny = process.env.MULLAMA_TEST_TINY;
export const real = process.env.MULLAMA_TEST_MODEL;
export const greedy = { sampler: { temperature: 0 }, ignoreEndOfGeneration: true };

assert(tiny && fs.existsSync(tiny), 'MULLAMA_TEST_TINY names the file of write_tiny_model');
export const withoutRealModel = real && fs.existsSync(real) ? false : 'MULLAMA_TEST_MODEL does not name a real model';

/** AddressSanitizer keeps freed memory for a while, shadows all of it, and locks none. */
export const withoutMemoryMeasures = process.env.MULLAMA_TEST_SANITIZED ? "a sanitizer's memory is not the library's" : false;

/** A size in bytes from /proc/self/status. */
export function status(field) {
  return Number(fs.readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))[1]) * 1024;
}
export function isMapped(file) {
  return fs.readFileSync('/proc/self/maps', 'utf8').includes(fs.realpathSync(file));
}

/** Collects garbage until `done`, or fails after a while: finalizers run in later turns of the loop. */
export async function collectUntil(done, what) {
  for (let turn = 0; turn < 100; ++turn) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (done()) return;
  }
  assert.fail(`not collected: ${what}`);
}

/** A folder with ./model.gguf and node_modules/mullama, as the guide's samples have them. */
export function guideFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mullama-guide-'));
  fs.symlinkSync(fs.realpathSync(real), path.join(folder, 'model.gguf'));
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(path.join(root, 'bindings', 'node'), path.join(folder, 'node_modules', 'mullama'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}
