/** What a container costs without us. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export const docker = (...args: readonly string[]): Promise<unknown> => execute('docker', [...args]);

export interface Drained {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads a stream to its end, as whoever stores a log does. */
export async function drain(stream: Readable): Promise<Drained> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** What a program writes to its stdout, through a pipe; throws unless it exits with 0. */
export async function outputOf(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Drained> {
  const child = spawn(file, [...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', resolve);
  });
  const [drained, code] = await Promise.all([drain(child.stdout), exited]);
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}`);
  return drained;
}

/** Lets at most `width` of `count` tasks run at once. */
export async function inParallel(count: number, width: number, task: () => Promise<unknown>): Promise<void> {
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < count) {
      begun += 1;
      await task();
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
