// Builds the addon: npm's install step. MULLAMA_DIR may name the prefix of an installed Mullama; else the library is built from the
// repository that this folder lies in.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const repository = path.resolve(here, '..', '..');
const inRepository = existsSync(path.join(repository, 'include', 'mullama', 'mullama.hpp'));
const build = inRepository ? path.join(repository, 'build', 'node') : path.join(here, 'build');

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (done.error?.code === 'ENOENT') {
    console.error(`mullama: ${command} was not found; install CMake 3.25, Ninja and a C++20 compiler, then try again`);
    process.exit(1);
  }
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const require = createRequire(import.meta.url);
try {
  require.resolve('node-addon-api/napi.h');
} catch {
  // npm links a folder into a project elsewhere without what the folder depends on.
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: here });
}
const includes = [path.dirname(require.resolve('node-addon-api/napi.h')), require('node-api-headers').include_dir];
run('cmake', [
  '-G', 'Ninja', '-S', here, '-B', build, '-DCMAKE_BUILD_TYPE=Release',
  `-DNODE_INCLUDES=${includes.join(';')}`, `-DMULLAMA_DIR=${process.env.MULLAMA_DIR ?? ''}`,
]);
run('cmake', ['--build', build, '--target', 'mullama_node', '--parallel', String(os.availableParallelism?.() ?? os.cpus().length)]);
run('cmake', ['--install', build, '--component', 'mullama_node', '--prefix', path.join(here, 'dist')]);
