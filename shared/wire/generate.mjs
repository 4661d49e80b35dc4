// Generates shared/wire/gen from proto/ (types only; messages are loaded at run time by @grpc/proto-loader).
// Skips the work when nothing changed, so that every build may call it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const protoDir = join(root, 'proto');
const outDir = join(import.meta.dirname, 'gen');
const files = readdirSync(join(protoDir, 'gantry', 'v1')).sort();
const hash = createHash('sha256').update(readFileSync(import.meta.filename));
for (const file of files) hash.update(file).update(readFileSync(join(protoDir, 'gantry', 'v1', file)));
const digest = hash.digest('hex');
const stamp = join(outDir, '.digest');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest) {
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  const options = [
    '--longs=Number',
    '--enums=String',
    '--bytes=Buffer',
    '--oneofs',
    '--grpcLib=@grpc/grpc-js',
    '--importFileExtension=.js',
  ];
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js'),
      ...options,
      `--includeDirs=${protoDir}`,
      `--outDir=${outDir}`,
      ...files.map((file) => `gantry/v1/${file}`),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // Unused imports in generated files are not ours to mend; their types still count where they are used.
  for (const file of readdirSync(outDir, { recursive: true })) {
    const path = join(outDir, String(file));
    if (path.endsWith('.ts')) writeFileSync(path, `// @ts-nocheck\n${readFileSync(path, 'utf8')}`);
  }
  writeFileSync(stamp, digest);
}
