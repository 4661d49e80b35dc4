import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { startStorage } from '../../coordinator/storage/server.js';
import type { StorageLog, StorageOptions } from '../../coordinator/storage/storage.js';

/** A server that a test started, and how to reach it. */
export interface TestS3 {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  stop(): Promise<void>;
}

/** What the server logged, for tests that expect something of it. */
export interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

export function recordingLog(): StorageLog & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const take = (level: LogLine['level']) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return { lines, info: take('info'), warn: take('warn'), error: take('error') };
}

export const embeddedCredentials = {
  accessKey: 'GANTRYTESTACCESSKEY0',
  secretKey: 'gantryTestSecretKey+/0000000000000000000',
  region: 'us-east-1',
};

/** The embedded server, in this process, on a free port, with a data directory of its own unless one is given. */
export async function startEmbeddedS3(
  options: Partial<StorageOptions> = {},
): Promise<
  TestS3 & { readonly dataDir: string; readonly port: number; readonly log: { readonly lines: LogLine[] } }
> {
  const log = recordingLog();
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'gantry-test-s3-')));
  const storage = await startStorage({
    dataDir,
    host: '127.0.0.1',
    port: 0,
    ...embeddedCredentials,
    log,
    ...options,
  });
  return {
    endpoint: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${storage.port}`,
    ...embeddedCredentials,
    dataDir,
    port: storage.port,
    log,
    stop: async () => {
      await storage.close(0);
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/**
 * The embedded server as a process of its own, for tests that kill it. Its sources are compiled into the cache of node_modules, so that packages
 * are found from there.
 */
export async function spawnEmbeddedS3(
  dataDir: string,
): Promise<Omit<TestS3, 'stop'> & { readonly port: number; kill(signal?: NodeJS.Signals): Promise<void> }> {
  const root = join(import.meta.dirname, '..', '..');
  const compiled = join(root, 'node_modules', '.cache', `gantry-test-storage-${process.pid}`);
  await mkdir(compiled, { recursive: true });
  const sources = join(root, 'coordinator', 'storage');
  for (const name of (await readdir(sources)).filter((file) => file.endsWith('.ts'))) {
    const { outputText } = ts.transpileModule(await readFile(join(sources, name), 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
      },
    });
    await writeFile(join(compiled, name.replace(/ts$/, 'js')), outputText);
  }
  await writeFile(join(compiled, 'package.json'), '{"type":"module"}');
  const options = { dataDir, host: '127.0.0.1', port: 0, ...embeddedCredentials };
  await writeFile(
    join(compiled, 'main.js'),
    `import ts from 'typescript';
import { startStorage } from './server.js';
     const log = { info() {}, warn() {}, error: (fields, message) => console.error(message, fields) };
     const storage = await startStorage({ ...JSON.parse(process.argv[2]), log });
     process.on('SIGTERM', () => void storage.close());
     console.log(storage.port);`,
  );
  const child = spawn(process.execPath, [join(compiled, 'main.js'), JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())));
    void ended.then(() => reject(new Error('the server did not start')));
  });
  // Loaded by now, so nothing needs the files any more.
  await rm(compiled, { recursive: true, force: true });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    ...embeddedCredentials,
    port,
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await ended;
    },
  };
}

/** A Ceph RADOS Gateway: the one that the environment names, else one started (and afterwards stopped) here. */
export async function startRgw(): Promise<TestS3> {
  const given = process.env['GANTRY_TEST_S3_RGW'];
  if (given !== undefined && given !== '') return { ...rgwFrom(process.env), stop: () => Promise.resolve() };
  const script = join(import.meta.dirname, 'ceph-rgw.sh');
  const directory = await mkdtemp(join(tmpdir(), 'gantry-test-rgw-'));
  const down = (): Promise<unknown> => promisify(execFile)(script, ['down', directory]);
  try {
    const { stdout } = await promisify(execFile)(script, ['up', directory]);
    const assignments = Object.fromEntries(
      stdout.split('\n').map((line) => {
        const [name = '', ...value] = line.split('=');
        return [name, value.join('=')];
      }),
    );
    return {
      ...rgwFrom(assignments),
      stop: async () => {
        await down();
      },
    };
  } catch (error) {
    await down().catch(() => undefined); // what kept it from starting is the error to tell
    throw error;
  }
}

function rgwFrom(values: Readonly<Record<string, string | undefined>>): Omit<TestS3, 'stop'> {
  const value = (name: string): string => {
    const text = values[name];
    if (text === undefined || text === '') throw new Error(`${name} must be set beside GANTRY_TEST_S3_RGW`);
    return text;
  };
  return {
    endpoint: value('GANTRY_TEST_S3_RGW'),
    accessKey: value('GANTRY_TEST_S3_RGW_ACCESS_KEY'),
    secretKey: value('GANTRY_TEST_S3_RGW_SECRET_KEY'),
    region: value('GANTRY_TEST_S3_RGW_REGION'),
  };
}
