// `npm run bench`: compiles this folder beside the installed packages, then runs it against the built programs.
// A program of its own rather than a test: nothing here may fail because the machine was slow.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const root = join(here, '..', '..');
const cache = join(root, 'node_modules', '.cache', 'gantry-bench');
const dist = process.env.GANTRY_TEST_DIST ?? join(root, 'dist');

if (!existsSync(join(dist, 'coordinator', 'cli', 'main.js'))) {
  console.error(`${dist} holds no build: run \`npm run build\` first`);
  process.exit(1);
}
// The compiled modules find the contract and their kind (`"type": "module"`) in a directory above them.
mkdirSync(cache, { recursive: true });
copyFileSync(join(root, 'package.json'), join(cache, 'package.json'));
rmSync(join(cache, 'proto'), { force: true });
symlinkSync(join(root, 'proto'), join(cache, 'proto'));

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const compiled = spawnSync(process.execPath, [tsc, '-p', here], { stdio: ['ignore', 2, 2] });
if (compiled.status !== 0) process.exit(1);
const ran = spawnSync(process.execPath, [join(cache, 'test', 'load', 'bench.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, GANTRY_TEST_DIST: dist },
});
process.exit(ran.status ?? 1);
