import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ArtifactAccess } from '../../agent/artifacts/artifact-access.js';
import { ArtifactError } from '../../agent/artifacts/artifact-error.js';
import { keepArtifacts, type KeptArtifacts } from '../../agent/artifacts/pack.js';
import { restoreArtifacts } from '../../agent/artifacts/restore.js';
import { HttpTransfer } from '../../shared/blob/http-transfer.js';
import { artifactKey, manifestKey } from '../../shared/blob/layout.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import type { NeededArtifacts } from '../../shared/model/agent.js';
import { parseManifest } from '../../shared/model/manifest.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { PlannedArtifact } from '../../shared/model/pipeline.js';
import { eventually } from '../support/eventually.js';
import { runId } from '../support/ids.js';
import { snapshot } from '../support/repositories.js';
import { startEmbeddedS3, type TestS3 } from '../support/s3.js';

let s3: TestS3;
let store: S3BlobStore;
let transfer: HttpTransfer;
let directory: string;
let workspace: string;
let scratchDir: string;

beforeAll(async () => {
  s3 = await startEmbeddedS3();
  store = new S3BlobStore({ ...s3, bucket: 'artifacts' });
  await store.ensureBucket();
  transfer = new HttpTransfer();
});
afterAll(async () => {
  transfer.close();
  store.close();
  await s3.stop();
});
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'gantry-test-artifacts-'));
  workspace = path.join(directory, 'workspace');
  scratchDir = path.join(directory, 'scratch');
  await mkdir(workspace);
  await mkdir(scratchDir);
});
afterEach(async () => {
  expect(await readdir(scratchDir)).toEqual([]);
  await rm(directory, { recursive: true, force: true });
});

const signal = AbortSignal.timeout(120_000);
const refOf = (stage: number): { run: ReturnType<typeof runId>; stage: number; attempt: number } => ({
  run: runId(1),
  stage,
  attempt: 1,
});

/** What the coordinator would allow, straight from the store. */
function accessOf(
  stage: number,
  done: { finished: number; aborted: number } = { finished: 0, aborted: 0 },
): ArtifactAccess {
  const expiresSeconds = 300;
  return {
    presign: (object) => {
      switch (object.kind) {
        case 'put-manifest':
          return store.presignPut(manifestKey(refOf(stage)), { expiresSeconds });
        case 'get-manifest':
          return store.presignGet(manifestKey(refOf(object.stage)), { expiresSeconds });
        case 'get-artifact':
          return store.presignGet(artifactKey(refOf(object.stage), object.number), { expiresSeconds });
        default:
          throw new Error(`nobody asks for ${object.kind} here`);
      }
    },
    upload: ({ number, bytes }) => {
      const key = artifactKey(refOf(stage), number);
      let upload: Promise<string> | undefined;
      return {
        single: () => store.presignPut(key, { expiresSeconds, bytes }),
        parts: async (first, count) => {
          upload ??= store.createMultipart(key);
          const id = await upload;
          return Promise.all(
            Array.from({ length: count }, (_, n) =>
              store.presignPart(key, id, first + n, { expiresSeconds }),
            ),
          );
        },
        finish: async (etags) => {
          done.finished += 1;
          const parts = etags.map((etag, index) => ({ part: index + 1, etag }));
          await store.completeMultipart(key, (await upload) ?? '', parts);
        },
        abort: async () => {
          done.aborted += 1;
          if (upload !== undefined) await store.abortMultipart(key, await upload);
        },
      };
    },
  };
}

const artifact = (paths: readonly string[], more: Partial<PlannedArtifact> = {}): PlannedArtifact => ({
  number: 1,
  name: 'out',
  paths,
  when: 'success',
  optional: false,
  ...more,
});

const keep = (
  artifacts: readonly PlannedArtifact[],
  options: { stage?: number; access?: ArtifactAccess; onProgress?: (activity: string) => void } = {},
): Promise<KeptArtifacts> =>
  keepArtifacts({
    workspaceDir: workspace,
    artifacts,
    scratchDir,
    access: options.access ?? accessOf(options.stage ?? 1),
    transfer,
    signal,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });

const needOf = (kept: KeptArtifacts, stage = 1): NeededArtifacts => {
  if (kept.manifest === undefined) throw new Error('nothing was kept');
  return { stage, attempt: 1, title: `stage-${stage}`, manifest: kept.manifest };
};

async function manifestOf(stage = 1): Promise<Manifest> {
  const result = parseManifest(
    JSON.parse((await store.getBytes(manifestKey(refOf(stage)), { maxBytes: 1e8 })).toString()),
  );
  if (result.kind === 'invalid') throw new Error(result.message);
  return result.manifest;
}

/** Restores into a new directory and gives it. */
async function restored(
  needs: readonly NeededArtifacts[],
  into = path.join(directory, 'restored'),
): Promise<string> {
  await mkdir(into, { recursive: true });
  await restoreArtifacts({ workspaceDir: into, needs, access: accessOf(9), transfer, signal });
  return into;
}

async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(workspace, name)), { recursive: true });
    await writeFile(path.join(workspace, name), content);
  }
}

async function failureOf(work: Promise<KeptArtifacts>): Promise<{ kind: string; message?: string }> {
  const { failure } = await work;
  if (failure === undefined) throw new Error('no failure');
  return failure;
}

describe('artifacts that are kept', () => {
  test('come back as they were: one file as it is, many packed, with modes, links and names of any bytes', async () => {
    await write({
      'dist/app.bin': Buffer.from([0, 1, 2, 255]),
      'htmlcov/index.html': '<html>',
      'htmlcov/sub/ü "quoted" 🏗️': 'x',
      'htmlcov/line\nend': 'y',
      'htmlcov/empty': '',
      'htmlcov/run.sh': '#!/bin/sh\n',
      'not/kept': 'n',
    });
    await chmod(path.join(workspace, 'htmlcov/run.sh'), 0o755);
    await chmod(path.join(workspace, 'dist/app.bin'), 0o750);
    await writeFile(Buffer.concat([Buffer.from(`${workspace}/htmlcov/`), Buffer.from([0xff, 0xe4])]), 'z');
    await symlink('sub', path.join(workspace, 'htmlcov/link-to-directory'));
    await symlink('../dist/app.bin', path.join(workspace, 'htmlcov/link-up'));

    const kept = await keep([
      artifact(['dist/*.bin'], { name: 'binary' }),
      artifact(['htmlcov'], { number: 2, name: 'coverage' }),
    ]);

    expect(kept.failure).toBeUndefined();
    const manifest = await manifestOf();
    expect(manifest.artifacts.map(({ name, form, files }) => [name, form, files.length])).toEqual([
      ['binary', 'file', 1],
      ['coverage', 'tar', 8],
    ]);
    // The single file is stored as it is.
    expect(await store.getBytes(artifactKey(refOf(1), 1), { maxBytes: 100 })).toEqual(
      Buffer.from([0, 1, 2, 255]),
    );
    const back = await restored([needOf(kept)]);
    const expected = await snapshot(workspace);
    for (const key of ['not/', 'not/kept']) expected.delete(key);
    expect(await snapshot(back)).toEqual(expected);
  });

  test('many files are one archive that any tar unpacks', async () => {
    await write({ 'out/a': 'a', 'out/b/c': 'c' });
    await keep([artifact(['out/**'])]);
    await writeFile(
      path.join(directory, 'a.tgz'),
      await store.getBytes(artifactKey(refOf(1), 1), { maxBytes: 1e6 }),
    );
    await promisify(execFile)('tar', ['xzf', 'a.tgz'], { cwd: directory });
    expect(await readFile(path.join(directory, 'out/b/c'), 'utf8')).toBe('c');
  });

  test('a pattern that matches nothing fails its artifact only, and none when it is optional', async () => {
    await write({ there: 'x' });
    const kept = await keep([
      artifact(['missing/*.whl', 'other'], { name: 'wheel' }),
      artifact(['there'], { number: 2, name: 'there' }),
      artifact(['nothing'], { number: 3, name: 'maybe', optional: true }),
    ]);
    expect(kept.failure).toEqual({
      kind: 'artifact-missing',
      artifact: 'wheel',
      pattern: 'missing/*.whl, other',
    });
    expect((await manifestOf()).artifacts.map(({ name }) => name)).toEqual(['there']);
    expect(await keep([artifact(['nothing'], { optional: true })])).toEqual({});
    expect(await keep([])).toEqual({});
  });

  test('do not bring what a wildcard should not: the repository, what no pattern leads to', async () => {
    await write({ '.git/config': 'secret', 'a/x': 'x', '.hidden': 'h', 'node_modules/m/x': 'm' });
    await chmod(path.join(workspace, 'node_modules'), 0o000);
    await keep([artifact(['a/**', '.hidden'])]);
    expect((await manifestOf()).artifacts[0]?.files.map((file) => 'path' in file && file.path)).toEqual([
      '.hidden',
      'a/x',
    ]);
    await chmod(path.join(workspace, 'node_modules'), 0o755);
    await keep([artifact(['**'])]);
    const names = (await manifestOf()).artifacts[0]?.files.map((file) => 'path' in file && file.path);
    expect(names).toEqual(['.hidden', 'a/x', 'node_modules/m/x']);
  });

  test('are the same when they are stored again', async () => {
    await write({ 'a/x': 'x', 'a/y': 'y' });
    const first = await keep([artifact(['a'])]);
    expect(await keep([artifact(['a'])])).toEqual(first);
  });
});

describe('what is refused', () => {
  test.each([
    ['/etc/passwd', /symbolic link to \/etc\/passwd, which is outside/],
    ['../outside', /outside of the workspace/],
    ['sub/../../outside', /outside of the workspace/],
  ])('a link to %j', async (target, message) => {
    await write({ 'out/sub/x': 'x' });
    await symlink(target, path.join(workspace, 'out-link'));
    const failure = await failureOf(keep([artifact(['out', 'out-link'])]));
    expect(failure).toMatchObject({
      kind: 'artifact-refused',
      message: expect.stringMatching(message) as string,
    });
  });

  test('a named pipe or socket, without waiting for anybody', async () => {
    await write({ 'out/x': 'x' });
    await promisify(execFile)('mkfifo', [path.join(workspace, 'out', 'pipe')]);
    const failure = await failureOf(keep([artifact(['out'])]));
    expect(failure).toMatchObject({ message: expect.stringMatching(/out\/pipe is a named pipe/) as string });
    expect((await keep([artifact(['out/x'])])).failure).toBeUndefined();
  });

  test('a pattern that is none', async () => {
    await write({ x: 'x' });
    const kept = await keep([
      artifact(['../x'], { name: 'bad' }),
      artifact(['x'], { number: 2, name: 'good' }),
    ]);
    expect(kept.failure).toMatchObject({ kind: 'artifact-refused', artifact: 'bad' });
    expect(kept.manifest).toBeDefined();
  });

  test('a file that grows, shrinks or is replaced between finding and packing', async () => {
    for (const change of [
      (file: string): Promise<unknown> => appendFile(file, 'more'),
      (file: string): Promise<unknown> => writeFile(file, ''),
      async (file: string): Promise<unknown> => {
        await writeFile(`${file}.new`, 'same length!');
        return rename(`${file}.new`, file);
      },
      async (file: string): Promise<unknown> => {
        await unlink(file);
        return symlink('/etc/passwd', file);
      },
      async (file: string): Promise<unknown> => {
        await rm(path.dirname(file), { recursive: true });
        return symlink('/etc', path.dirname(file));
      },
    ]) {
      for (const patterns of [['out/passwd'], ['out/passwd', 'second']]) {
        await rm(workspace, { recursive: true });
        await mkdir(workspace);
        await write({ 'out/passwd': 'same length?', second: 's' });
        const base = accessOf(1);
        // The moment between finding and sending: progress is told, the box is frozen, but somebody writes.
        let changed: Promise<unknown> | undefined;
        const failure = await failureOf(
          keepArtifacts({
            workspaceDir: workspace,
            artifacts: [
              artifact(['second'], { name: 'first' }),
              artifact(patterns, { number: 2, name: 'changing' }),
            ],
            scratchDir,
            access: {
              ...base,
              upload: (what) => {
                const upload = base.upload(what);
                return {
                  ...upload,
                  single: async (given) => {
                    changed ??= change(path.join(workspace, 'out', 'passwd'));
                    await changed;
                    return upload.single(given);
                  },
                };
              },
            },
            transfer,
            signal,
          }),
        );
        expect(failure).toMatchObject({ kind: 'artifact-refused', artifact: 'changing' });
      }
    }
  });

  test('a directory that is swapped for a link while it is packed: never a byte from outside', async () => {
    const outside = path.join(directory, 'outside');
    await mkdir(outside);
    for (let n = 0; n < 40; n++) {
      await write({ [`out/dir/f${n}`]: `inside ${n}` });
      await writeFile(path.join(outside, `f${n}`), `SECRET ${n}`);
    }
    const dir = path.join(workspace, 'out', 'dir');
    const aside = path.join(workspace, 'aside');
    const state = { running: true };
    const swapping = (async () => {
      while (state.running) {
        // Mostly the real one, so that some walks get through between two swaps.
        await setTimeout(15);
        await rename(dir, aside);
        await symlink(outside, dir);
        await setTimeout(1);
        await unlink(dir);
        await rename(aside, dir);
      }
    })();
    const secrets = new Set(
      Array.from({ length: 40 }, (_, n) => createHash('sha256').update(`SECRET ${n}`).digest('hex')),
    );
    const outcomes = { kept: 0, refused: 0 };
    try {
      await eventually(
        'some walks met a swap and some did not',
        async () => {
          const result = await keep([artifact(['out/**'], { optional: true })], { stage: 2 });
          if (result.failure !== undefined) {
            expect(result.failure.kind).toBe('artifact-refused');
            outcomes.refused += 1;
          } else if (result.manifest !== undefined) {
            outcomes.kept += 1;
            const files = (await manifestOf(2)).artifacts.flatMap((one) => one.files);
            for (const file of files) expect(secrets.has(file.sha256)).toBe(false);
          }
          return outcomes.kept >= 5 && outcomes.refused >= 20;
        },
        30_000,
      );
    } finally {
      state.running = false;
      await swapping;
    }
  });
});

describe('artifacts that are needed', () => {
  test('of several stages arrive beside each other and over what the checkout has', async () => {
    await write({ 'dist/a': 'from 1' });
    const first = await keep([artifact(['dist'])], { stage: 1 });
    await rm(path.join(workspace, 'dist'), { recursive: true });
    await write({ 'dist/b': 'from 2' });
    const second = await keep([artifact(['dist/*'])], { stage: 2 });
    const into = path.join(directory, 'next');
    await mkdir(path.join(into, 'dist'), { recursive: true });
    await writeFile(path.join(into, 'dist', 'a'), 'of the checkout');
    await writeFile(path.join(into, 'dist', 'c'), 'kept');
    await restored([needOf(first, 1), needOf(second, 2)], into);
    expect(await readFile(path.join(into, 'dist', 'a'), 'utf8')).toBe('from 1');
    expect(await readFile(path.join(into, 'dist', 'b'), 'utf8')).toBe('from 2');
    expect(await readFile(path.join(into, 'dist', 'c'), 'utf8')).toBe('kept');
  });

  test('that two stages bring are a conflict, before anything is written', async () => {
    await write({ 'dist/a': 'x', 'dist/b': 'y' });
    const first = await keep([artifact(['dist/**'])], { stage: 1 });
    const second = await keep([artifact(['dist/b'])], { stage: 2 });
    const into = path.join(directory, 'next');
    await expect(restored([needOf(first, 1), needOf(second, 2)], into)).rejects.toMatchObject({
      failure: { kind: 'artifact-conflict', path: 'dist/b' },
    });
    expect(await readdir(into)).toEqual([]);
  });

  test('do not follow a link of the checkout', async () => {
    await write({ 'dist/a': 'x' });
    const kept = await keep([artifact(['dist/a'])]);
    const outside = path.join(directory, 'outside');
    const into = path.join(directory, 'next');
    await mkdir(outside);
    await mkdir(into);
    await symlink(outside, path.join(into, 'dist'));
    const error: unknown = await restored([needOf(kept)], into).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArtifactError);
    expect(error).toMatchObject({
      failure: {
        kind: 'artifact-conflict',
        path: 'dist',
        message: expect.stringMatching(/symbolic link/) as string,
      },
    });
    expect(await readdir(outside)).toEqual([]);
  });

  test('that are damaged in storage, or not those of the journal, are not used', async () => {
    await write({ 'dist/a': 'content', 'dist/b': 'other', single: 's' });
    const artifacts = [artifact(['dist']), artifact(['single'], { number: 2, name: 'single' })];
    const kept = await keep(artifacts);
    const unavailable = { failure: { kind: 'storage-unavailable' } };
    for (const number of [1, 2]) {
      const key = artifactKey(refOf(1), number);
      const whole = await store.getBytes(key, { maxBytes: 1e6 });
      const wrong = Buffer.from(whole);
      wrong[wrong.length >> 1]! ^= 1;
      await store.put(key, wrong);
      await expect(restored([needOf(kept)])).rejects.toMatchObject(unavailable);
      await store.put(key, whole.subarray(0, -1));
      await expect(restored([needOf(kept)])).rejects.toMatchObject(unavailable);
      await store.put(key, whole);
    }
    await store.put(manifestKey(refOf(1)), Buffer.from('{"v":1,"artifacts":[]}'));
    await expect(restored([needOf(kept)])).rejects.toMatchObject(unavailable);
    await store.deleteMany([manifestKey(refOf(1))]);
    await expect(restored([needOf(kept)])).rejects.toMatchObject(unavailable);
  });

  test('are handed over to the user of the box', async () => {
    await write({ 'dist/a': 'x', 'dist/b': 'y' });
    const kept = await keep([artifact(['dist'])]);
    const into = path.join(directory, 'next');
    await mkdir(into);
    const owner = { uid: 1000, gid: 1000 };
    await restoreArtifacts({
      workspaceDir: into,
      needs: [needOf(kept)],
      owner,
      access: accessOf(9),
      transfer,
      signal,
    });
    const { stdout } = await promisify(execFile)('stat', ['-c', '%u', 'dist', 'dist/a'], { cwd: into });
    expect(stdout).toBe('1000\n1000\n');
  });
});

describe('size', () => {
  test('a file of several parts travels by parts and comes back', async () => {
    const file = path.join(workspace, 'big.bin');
    const handle = await open(file, 'w');
    const block = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < 70; n++) {
      block.writeUInt32LE(n);
      await handle.write(block);
    }
    await handle.close();
    const done = { finished: 0, aborted: 0 };
    const kept = await keep([artifact(['big.bin'])], { access: accessOf(1, done) });
    expect(done).toEqual({ finished: 1, aborted: 0 });
    const back = await restored([needOf(kept)]);
    expect(await snapshot(back)).toEqual(await snapshot(workspace));
  });

  test('an upload by parts that fails is aborted', async () => {
    await writeFile(path.join(workspace, 'big.bin'), Buffer.alloc(70 * 1024 * 1024));
    const done = { finished: 0, aborted: 0 };
    const base = accessOf(1, done);
    const failing: ArtifactAccess = {
      ...base,
      upload: (what) => ({ ...base.upload(what), finish: () => Promise.reject(new Error('gone')) }),
    };
    await expect(keep([artifact(['big.bin'])], { access: failing })).rejects.toThrow('gone');
    expect(done.aborted).toBe(1);
  });
});
