/** How image references are resolved: a registry on loopback, the machine's own images, and registries that are away. */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { pack } from 'tar-stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DockerImages } from '../../agent/executor/docker-images.js';
import type { PullProgress } from '../../agent/executor/executor.js';
import { noRegistryAccess } from '../../shared/model/registry.js';
import { parseAgentId } from '../../shared/model/ids.js';
import { ensureTestImage } from '../support/images.js';
import { command, docker, kinds, ran, Workbench } from './executor-bench.js';
import { createDockerExecutor } from '../../agent/executor/docker-executor.js';
import { readFile } from 'node:fs/promises';

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A registry that serves one image, made of busybox, and counts what it is asked. */
class Registry {
  readonly asked: string[] = [];
  #blobs = new Map<string, Buffer>();
  #manifest = Buffer.alloc(0);
  #server: Server | undefined;
  port = 0;
  layer = '';

  get digest(): string {
    return sha256(this.#manifest);
  }

  async open(): Promise<void> {
    await this.make('one');
    this.#server = createServer((request, response) => {
      const { method = '', url = '' } = request;
      this.asked.push(`${method} ${url}`);
      const answer = (status: number, type: string, body: Buffer): void => {
        response.writeHead(status, {
          'content-type': type,
          'content-length': body.length,
          'docker-content-digest': sha256(body),
          'docker-distribution-api-version': 'registry/2.0',
        });
        response.end(method === 'HEAD' ? undefined : body);
      };
      const error = (status: number, code: string): void =>
        answer(
          status,
          'application/json',
          Buffer.from(JSON.stringify({ errors: [{ code, message: code }] })),
        );
      const blob = this.#blobs.get(/\/blobs\/(sha256:[0-9a-f]+)$/.exec(url)?.[1] ?? '');
      if (url === '/v2/') answer(200, 'application/json', Buffer.from('{}'));
      else if (url.startsWith('/v2/secret/')) error(401, 'UNAUTHORIZED');
      else if (url.startsWith('/v2/app/manifests/latest') || url.endsWith(`/app/manifests/${this.digest}`)) {
        answer(200, 'application/vnd.docker.distribution.manifest.v2+json', this.#manifest);
      } else if (blob !== undefined) answer(200, 'application/octet-stream', blob);
      else error(404, 'MANIFEST_UNKNOWN');
    });
    const server = this.#server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  /** Another image under the same name: what `latest` means changes. */
  async make(note: string): Promise<void> {
    const archive = pack();
    const busybox = await readFile('/bin/busybox');
    archive.entry({ name: 'bin', type: 'directory' });
    archive.entry({ name: 'bin/busybox', mode: 0o755 }, busybox);
    for (const name of ['sh', 'cat', 'setsid']) {
      archive.entry({ name: `bin/${name}`, type: 'symlink', linkname: 'busybox' });
    }
    archive.entry({ name: 'note' }, note);
    archive.finalize();
    const parts: Buffer[] = [];
    for await (const chunk of archive) parts.push(Buffer.from(chunk as Uint8Array));
    const tar = Buffer.concat(parts);
    const layer = gzipSync(tar);
    this.layer = sha256(layer);
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        config: { Env: ['PATH=/bin'], Cmd: ['sh'] },
        rootfs: { type: 'layers', diff_ids: [sha256(tar)] },
        history: [{}],
      }),
    );
    this.#blobs = new Map([
      [sha256(layer), layer],
      [sha256(config), config],
    ]);
    const descriptor = (mediaType: string, bytes: Buffer) => ({
      mediaType,
      size: bytes.length,
      digest: sha256(bytes),
    });
    this.#manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
        config: descriptor('application/vnd.docker.container.image.v1+json', config),
        layers: [descriptor('application/vnd.docker.image.rootfs.diff.tar.gzip', layer)],
      }),
    );
  }

  async close(): Promise<void> {
    const server = this.#server;
    server?.closeAllConnections();
    await new Promise<void>((resolve) => server?.close(() => resolve()) ?? resolve());
  }
}

const signal = new AbortController().signal;
const registries = () => Promise.resolve(noRegistryAccess);
const quiet = { onProgress: () => undefined, registries, signal };

describe('an image of a registry', () => {
  const registry = new Registry();
  const name = () => `127.0.0.1:${registry.port}/app`;
  beforeAll(() => registry.open());
  afterEach(async () => {
    for (const image of await docker.listImages()) {
      if ((image.RepoDigests ?? []).some((each) => each.startsWith(`${name()}@`))) {
        await docker.getImage(image.Id).remove({ force: true });
      }
    }
  });
  afterAll(() => registry.close());

  test('is pulled by its digest, with progress, and boxes start from that', async () => {
    const bench = await Workbench.open(kinds[0]!);
    const told: PullProgress[] = [];
    const image = await bench.executor.resolveImage(name(), {
      ...quiet,
      onProgress: (each) => told.push(each),
    });
    expect(image).toBe(`${name()}@${registry.digest}`);
    expect(told[0]?.activity).toContain(`pulling ${name()}`);
    const spec = { ...(await bench.spec({ image: 'busybox' })), image };
    const box = await bench.executor.openBox(spec, signal);
    expect((await ran(box, command(1, 'cat /note'))).text).toBe('one');
    await box.remove();
    await bench.expectNothingLeft();
    await bench.close();
  });

  test('is asked for anew by each run, though it is here: the tag may mean another one now', async () => {
    const images = new DockerImages(docker, []);
    const first = await images.resolve(`${name()}:latest`, quiet);
    await registry.make('two');
    const second = await images.resolve(`${name()}:latest`, quiet);
    expect(second).toBe(`${name()}@${registry.digest}`);
    expect(second).not.toBe(first);
  });

  test('stays what the run was pinned to', async () => {
    const images = new DockerImages(docker, []);
    const pinned = await images.resolve(name(), quiet);
    const asked = registry.asked.length;
    expect(await images.resolve(name(), { ...quiet, pinned })).toBe(pinned);
    // Here already: the registry is not needed.
    expect(registry.asked.length).toBe(asked);
    await docker.getImage(pinned).remove();
    expect(await images.resolve(name(), { ...quiet, pinned })).toBe(pinned);
    await docker.getImage(pinned).inspect();
  });

  test('is pulled once for all that want it at once', async () => {
    const images = new DockerImages(docker, []);
    const before = registry.asked.length;
    const all = await Promise.all(Array.from({ length: 5 }, () => images.resolve(name(), quiet)));
    expect(new Set(all).size).toBe(1);
    const layers = registry.asked
      .slice(before)
      .filter((each) => each === `GET /v2/app/blobs/${registry.layer}`);
    expect(layers.length).toBe(1);
  });

  test.each([
    ['no such tag', ':nothing', false],
    ['no such digest', `@sha256:${'0'.repeat(64)}`, false],
  ])('%s is the pipeline’s fault', async (_what, suffix, transient) => {
    const images = new DockerImages(docker, []);
    await expect(images.resolve(`${name()}${suffix}`, quiet)).rejects.toMatchObject({
      failure: { kind: 'image-unavailable', image: `${name()}${suffix}`, transient },
    });
  });

  test('one that wants credentials says so', async () => {
    const images = new DockerImages(docker, []);
    await expect(images.resolve(`127.0.0.1:${registry.port}/secret`, quiet)).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        transient: false,
        message: expect.stringMatching(/unauthorized.*credentials/i) as string,
      },
    });
  });
});

describe('an image without a registry', () => {
  test('a registry that is away is ours, and tried again', async () => {
    const images = new DockerImages(docker, []);
    await expect(images.resolve('127.0.0.1:9/app', quiet)).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        transient: true,
        message: expect.stringContaining('connection refused') as string,
      },
    });
  });

  test('an impossible name is told as such', async () => {
    const images = new DockerImages(docker, ['*']);
    await expect(images.resolve('No Such/Image', quiet)).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        transient: false,
        message: expect.stringContaining('no image reference') as string,
      },
    });
  });

  test('a local image is used where the agent’s owner allows it, pinned by its id', async () => {
    const reference = await ensureTestImage('busybox');
    const { Id: id } = await docker.getImage(reference).inspect();
    for (const patterns of [['*'], ['gantry-test/*'], ['other', 'gantry-test/busybox'], [reference]]) {
      expect(await new DockerImages(docker, patterns).resolve('gantry-test/busybox', quiet)).toBe(id);
    }
  });

  test('an id that only another agent has is told so', async () => {
    const pinned = `sha256:${'1'.repeat(64)}`;
    await expect(new DockerImages(docker, ['*']).resolve('app', { ...quiet, pinned })).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        message: expect.stringContaining('only on another agent') as string,
      },
    });
  });

  test('an image that vanished between resolving and starting is tried again', async () => {
    const bench = await Workbench.open(kinds[0]!);
    const spec = { ...(await bench.spec()), image: `sha256:${'2'.repeat(64)}` };
    await expect(bench.executor.openBox(spec, signal)).rejects.toMatchObject({
      failure: { kind: 'image-unavailable', transient: true },
    });
    await bench.expectNothingLeft();
    await bench.close();
  });

  test('a missing daemon is no missing image', async () => {
    const executor = createDockerExecutor({
      agentId: parseAgentId('aaaaaaaaaaaaaaaa')!,
      dataDirectory: '/nowhere',
      localImages: ['*'],
      limits: { pids: 10 },
      log: pino({ level: 'silent' }),
      docker: { socketPath: '/nowhere/docker.sock' },
    });
    await expect(executor.resolveImage('app', quiet)).rejects.toMatchObject({
      failure: { kind: 'box-broken' },
    });
    await executor.close();
  });
});
