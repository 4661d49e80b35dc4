/** Images that boxes build: what is in them, what is told of a build, how it ends, and their way to registries and back. */
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Box, BoxSpec, BuildCommand } from '../../agent/executor/executor.js';
import { packContext, sentDockerfile } from '../../agent/workspace/build-context.js';
import type { PlannedBuild } from '../../shared/model/pipeline.js';
import { noRegistryAccess, type RegistryAccess } from '../../shared/model/registry.js';
import { removeUntagged } from '../support/images.js';
import { startRegistry, type RegistryServer } from '../support/registry.js';
import {
  command,
  docker,
  ended,
  kinds,
  logLimitBytes,
  ran,
  readLog,
  until,
  untilLogged,
  Workbench,
} from './executor-bench.js';

const base = 'FROM gantry-test/busybox\n';
/** Names of images of this run of the tests. */
const prefix = `gantry-built-${randomBytes(4).toString('hex')}`;

let bench: Workbench;
/** Images that builds have told of, also those that came to nothing. */
const layers = new Set<string>();
beforeAll(async () => {
  bench = await Workbench.open(kinds[0]!, { limits: { pids: 200, memoryBytes: 512 * 1024 * 1024 } });
});
afterEach(async () => {
  await bench.expectNothingLeft();
  expect(await builtContainers()).toEqual([]);
});
afterAll(async () => {
  const filters = { label: [`gantry.built.agent=${bench.agent}`] };
  for (const { Id, RepoTags } of await docker.listImages({ filters })) {
    for (const tag of RepoTags ?? []) if (!tag.includes('<none>')) await docker.getImage(tag).remove();
    layers.add(Id);
  }
  await removeUntagged(layers);
  await bench.close();
});

/** Of builds, on the daemon. */
const builtContainers = async (): Promise<string[]> => {
  const all = await docker.listContainers({ all: true });
  return all.filter((each) => each.Labels['gantry.built.agent'] === bench.agent).map((each) => each.Id);
};

async function fill({ slot }: BoxSpec, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(slot.workspace, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}

const planned = (more: Partial<PlannedBuild> = {}): PlannedBuild => ({
  file: 'Dockerfile',
  args: {},
  tags: [],
  push: false,
  ...more,
});

const commandOf = (
  { slot }: BoxSpec,
  build: PlannedBuild,
  more: Partial<BuildCommand> = {},
): BuildCommand => ({
  number: 1,
  build,
  dockerfile: sentDockerfile,
  context: (say, signal) =>
    packContext({
      workspace: slot.workspace,
      ...(build.context === undefined ? {} : { directory: build.context }),
      file: build.file,
      rewrite: (text) => Promise.resolve(text),
      onSkipped: (path, why) => say(`${path} is left out: ${why}`),
      signal,
    }),
  registries: () => Promise.resolve(noRegistryAccess),
  onProgress: () => undefined,
  logLimitBytes,
  ...more,
});

async function begin(box: Box, build: BuildCommand) {
  const { builder } = box;
  if (builder === undefined) throw new Error('no builder');
  const running = await builder.startBuild(build, await box.prepareStep(build));
  const remember = async (): Promise<void> => {
    const { logBytes } = await running.finished;
    const text = Buffer.alloc(Math.min(logBytes, 1024 * 1024));
    await running.log.read(0, text);
    for (const [, id = ''] of text.toString().matchAll(/^ ---> ([0-9a-f]{12})$/gm)) layers.add(id);
  };
  return {
    ...running,
    log: running.log,
    finished: remember().then(() => running.finished),
    terminate: (ms: number) => running.terminate(ms),
  };
}

/** Builds what the files say. */
async function built(
  files: Readonly<Record<string, string>>,
  build: Partial<PlannedBuild> = {},
  more: Partial<BuildCommand> = {},
) {
  const opened = await bench.box({ image: 'busybox' });
  await fill(opened.spec, files);
  const done = await ended(await begin(opened.box, commandOf(opened.spec, planned(build), more)));
  return { ...opened, ...done };
}

/** What the image's shell prints. */
async function inImage(image: string, script: string): Promise<string> {
  const container = await docker.createContainer({ Image: image, Cmd: ['sh', '-c', script], Tty: true });
  try {
    const stream = await container.attach({ stream: true, stdout: true, stderr: true });
    await container.start();
    await container.wait();
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
    return Buffer.concat(chunks).toString().replaceAll('\r\n', '\n');
  } finally {
    await container.remove({ force: true });
  }
}

const success = { kind: 'exited', exitCode: 0 };

describe('an image of the workspace', () => {
  test('has what the Dockerfile says, by args and target, under its tags; its result is its id', async () => {
    const tags = [`${prefix}/one`, `${prefix}/two:v1`];
    const files = {
      'app/docker/Dockerfile': `${base}ARG WHO\nCOPY hello /hello\nRUN echo "$WHO" >/who; echo said; echo more >&2\nFROM scratch AS never\nCOPY nothing /\n`,
      'app/hello': 'hi\n',
    };
    const first = files['app/docker/Dockerfile'].replace('busybox', 'busybox AS first');
    const { result, text } = await built(
      { ...files, 'app/docker/Dockerfile': first },
      { context: 'app', file: 'docker/Dockerfile', args: { WHO: 'a "b" $c' }, target: 'first', tags },
    );
    expect(result).toMatchObject({ exit: success });
    const id = result.built!.reference;
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(result.built!.tags).toEqual([
      { image: `${prefix}/one`, digest: id },
      { image: `${prefix}/two:v1`, digest: id },
    ]);
    for (const tag of tags) expect((await docker.getImage(tag).inspect()).Id).toBe(id);
    expect(await inImage(id, 'cat /hello /who')).toBe('hi\na "b" $c\n');
    expect(text).toMatch(/Step 1\/\d+ : FROM gantry-test\/busybox[^]*said\n[^]*Tagged .*\/two:v1\n/);
    // The daemon reads its commands' two outputs side by side: which of both came first it does not know.
    expect(text).toMatch(/more\n/);
    expect(text).toContain(`Built ${id}\n`);
  });

  test('is labelled by names that no agent removes containers by', async () => {
    const { result, spec } = await built({ Dockerfile: base });
    const { Labels } = (await docker.getImage(result.built!.reference).inspect()).Config;
    expect(Labels).toMatchObject({
      'gantry.built.agent': bench.agent,
      'gantry.built.attempt': `${spec.ref.run}/1/1`,
    });
    expect(Object.keys(Labels)).not.toContain('gantry.agent');
  });

  test('leaves out what .dockerignore names, and never the Dockerfile', async () => {
    const { result } = await built({
      Dockerfile: `${base}COPY . /src/\n`,
      '.dockerignore': '# all but sources\n*\n!src\nsrc/**/*.tmp\n!src/deep/keep.tmp\n',
      'secret.key': 'x',
      '.git/config': 'x',
      'src/a.txt': 'a',
      'src/b.tmp': 'b',
      'src/deep/keep.tmp': 'k',
      'src/deep/c.tmp': 'c',
    });
    expect(result.exit).toEqual(success);
    expect(await inImage(result.built!.reference, 'cd /src; find . -type f | sort')).toBe(
      './src/a.txt\n./src/deep/keep.tmp\n',
    );
  });

  test('has empty directories, modes, links as links, long and odd names', async () => {
    const long = `${'d'.repeat(90)}/${'f'.repeat(120)}`;
    const { box, spec } = await bench.box({ image: 'busybox' });
    await fill(spec, { Dockerfile: `${base}COPY . /src/\n`, run: 'x', [long]: 'long', 'ü x\n': 'odd' });
    await mkdir(join(spec.slot.workspace, 'empty'));
    await chmod(join(spec.slot.workspace, 'run'), 0o751);
    await symlink('run', join(spec.slot.workspace, 'link'));
    await ran(box, command(7, 'mkfifo pipe'));
    const { result, text } = await ended(await begin(box, commandOf(spec, planned())));
    expect(result.exit).toEqual(success);
    expect(text).toContain('pipe is left out: a fifo cannot be sent\n');
    const looked = await inImage(
      result.built!.reference,
      `cd /src; stat -c '%F %a' empty run; readlink link; cat ${long}; cat u* ü*; ls -a | grep -c gantry`,
    );
    expect(looked).toBe(
      "directory 755\nregular file 751\nrun\nlongcat: can't open 'u*': No such file or directory\nodd0\n",
    );
  });

  test('of a step that left links out of the workspace has none of the machine’s files', async () => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    const secret = join(spec.slot.root, 'outside');
    await writeFile(secret, 'of the machine');
    await fill(spec, { Dockerfile: `${base}COPY file dir /src/\nCOPY l* /src/\n`, file: 'x' });
    await mkdir(join(spec.slot.workspace, 'dir'));
    await ran(box, command(7, `ln -s ${secret} link; ln -s /etc lib; ln -s ../../outside dir/up`));
    const { result } = await ended(await begin(box, commandOf(spec, planned())));
    // The daemon looks links up in the context alone.
    if (result.built !== undefined) {
      expect(await inImage(result.built.reference, 'cat /src/* /src/*/* 2>/dev/null')).not.toContain(
        'machine',
      );
    }
    expect(result.exit).toMatchObject({ kind: 'failed', failure: { kind: 'build-failed' } });
  });

  test.each([
    ['the context is a link', { context: 'way' }, /way: is a symbolic link/],
    ['the Dockerfile is a link', { file: 'link' }, /link: is a symbolic link/],
    ['there is no context', { context: 'none/at/all' }, /there is no|is not there/],
    ['there is no Dockerfile', { file: 'none/Dockerfile' }, /there is no none\/Dockerfile in the context/],
  ])('is not made where %s', async (_, build, message) => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    await fill(spec, { Dockerfile: base });
    await symlink('/etc', join(spec.slot.workspace, 'way'));
    await symlink('/etc/passwd', join(spec.slot.workspace, 'link'));
    const { result } = await ended(await begin(box, commandOf(spec, planned(build))));
    expect(JSON.stringify(result.exit)).toMatch(message);
    expect(await ran(box, command(2, 'echo goes on'))).toMatchObject({ text: 'goes on\n' });
  });

  test('is read while nothing in the box runs, which goes on afterwards', async () => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    await fill(spec, { Dockerfile: `${base}COPY count /\n`, count: '0' });
    await ran(box, command(7, '(i=0; while :; do i=$((i+1)); echo $i >count; done) & sleep 0.1'));
    const file = join(spec.slot.workspace, 'count');
    const seen: string[] = [];
    const usual = commandOf(spec, planned());
    const { result } = await ended(
      await begin(box, {
        ...usual,
        context: async function* (say, signal) {
          seen.push(await readFile(file, 'utf8'));
          yield* usual.context(say, signal);
          seen.push(await readFile(file, 'utf8'));
        },
      }),
    );
    expect(result.exit).toEqual(success);
    expect(seen[1]).toBe(seen[0]);
    expect(await inImage(result.built!.reference, 'cat /count')).toBe(seen[0]);
    await until(async () => (await readFile(file, 'utf8')) !== seen[0], 'the box goes on');
  });
});

test('a build reaches what its box does: services by their names', async () => {
  const image = await bench.image('busybox');
  const command = ['sh', '-c', 'echo served | nc -l -p 7000; sleep 1000'];
  const { box, spec } = await bench.box({
    image: 'busybox',
    services: [{ name: 'db', image, env: {}, command }],
  });
  await fill(spec, {
    Dockerfile: `${base}RUN for i in $(seq 50); do nc -w 2 db 7000 </dev/null && exit; sleep 0.1; done; exit 3\n`,
  });
  const { result, text } = await ended(await begin(box, commandOf(spec, planned())));
  expect(result.exit).toEqual(success);
  expect(text).toContain('served\n');
});

describe('a build that fails', () => {
  test('by a command of the Dockerfile has its exit code, and all of its output', async () => {
    const { result, text } = await built({ Dockerfile: `${base}RUN echo before; exit 7\n` });
    expect(result.exit).toEqual({ kind: 'exited', exitCode: 7 });
    expect(result.built).toBeUndefined();
    expect(text).toMatch(/before\n[^]*returned a non-zero code: 7\n$/);
  });

  test.each([
    ['an instruction that is none', `${base}FOO bar\n`, /unknown instruction: FOO/i],
    ['a file that is not there', `${base}COPY nothing /\n`, /nothing/],
    ['no instruction', '\n', /empty|no/i],
  ])('by %s is told in the daemon’s words', async (_, text, message) => {
    const done = await built({ Dockerfile: text });
    expect(done.result.exit).toMatchObject({
      kind: 'failed',
      failure: { kind: 'build-failed', step: 1, message: expect.stringMatching(message) as string },
    });
    expect(done.text).toMatch(message);
  });

  test('by writing too much is stopped at the limit', async () => {
    const { result } = await built({ Dockerfile: `${base}RUN yes\n` }, {}, { logLimitBytes: 100_000 });
    expect(result).toMatchObject({
      logBytes: 100_000,
      exit: { kind: 'failed', failure: { kind: 'log-limit', step: 1, limitBytes: 100_000 } },
    });
  });

  test('because its box has ended, or ends meanwhile, is ours', async () => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    await fill(spec, { Dockerfile: `${base}RUN sleep 2\nRUN echo late\n` });
    const [container = ''] = await bench.containers();
    const running = await begin(box, commandOf(spec, planned()));
    await untilLogged(running, 'Step 2/', 30_000);
    await docker.getContainer(container).kill();
    const meanwhile = await ended(running);
    expect(meanwhile.result.exit).toMatchObject({ kind: 'failed', failure: { kind: 'box-broken' } });
    const after = await ended(await begin(box, commandOf(spec, planned())));
    expect(after.result.exit).toMatchObject({ kind: 'failed', failure: { kind: 'box-broken' } });
  });

  test('because it is canceled leaves no image and no container', async () => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    const tag = `${prefix}/canceled`;
    await fill(spec, { Dockerfile: `${base}RUN echo begun; sleep 1000\n` });
    const running = await begin(box, commandOf(spec, planned({ tags: [tag] })));
    await untilLogged(running, 'begun\n', 30_000);
    await running.terminate(0);
    const result = await running.finished;
    expect(result.exit).toEqual({ kind: 'terminated' });
    expect((await readLog(running, result.logBytes)).toString()).toContain('begun');
    await running.log.close();
    await expect(docker.getImage(tag).inspect()).rejects.toMatchObject({ statusCode: 404 });
    await until(async () => (await builtContainers()).length === 0, 'the build has no container');
    expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
  });

  test('because it is canceled while the context is sent lets the box go on', async () => {
    const { box, spec } = await bench.box({ image: 'busybox' });
    let sends = (): void => undefined;
    const sending = new Promise<void>((resolve) => (sends = resolve));
    const running = await begin(
      box,
      commandOf(spec, planned(), {
        context: async function* (_say, signal) {
          yield Buffer.alloc(512);
          sends();
          await new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(new Error('ended'))),
          );
        },
      }),
    );
    await sending;
    await running.terminate(0);
    expect((await running.finished).exit).toEqual({ kind: 'terminated' });
    await running.log.close();
    expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
  });
});

test('a build is begun again by the next process of the agent, which finds its box held still', async () => {
  const { box, spec } = await bench.box({ image: 'busybox' });
  await fill(spec, { Dockerfile: `${base}COPY a /\n`, a: 'a' });
  const build = commandOf(spec, planned());
  const handle = await box.prepareStep(build);
  let sends = (): void => undefined;
  const sending = new Promise<void>((resolve) => (sends = resolve));
  const stuck: BuildCommand = {
    ...build,
    context: async function* (say) {
      say('the first try');
      yield Buffer.alloc(512);
      sends();
      await new Promise<never>(() => undefined);
    },
  };
  const first = await box.builder!.startBuild(stuck, handle);
  await sending;
  await untilLogged(first, 'the first try\n');
  // As if it were killed: nobody lets the box go on.
  const next = bench.newExecutor();
  const adopted = await next.adoptBox(spec);
  const again = await ended(await adopted!.builder!.resumeBuild(build, handle));
  expect(again.result.exit).toEqual(success);
  expect(again.text).toMatch(
    /^the first try\n\nThe agent was restarted: the build begins again\.\n[^]*Built sha256:/,
  );
  const reopened = await adopted!.builder!.openLog(build, handle);
  const text = Buffer.alloc(again.result.logBytes);
  await reopened!.read(0, text);
  expect(text.toString()).toBe(again.text);
  await reopened!.close();
  expect((await ran(adopted!, command(2, 'echo next'))).text).toBe('next\n');
  await adopted!.remove();
  await next.close();
});

describe('with registries', () => {
  const credentials = { user: 'ann', password: 'right/pass+word' };
  let open: RegistryServer;
  let closed: RegistryServer;
  beforeAll(async () => {
    [open, closed] = await Promise.all([startRegistry(), startRegistry({ credentials })]);
  });
  afterAll(() => Promise.all([open.stop(), closed.stop()]));

  const accessTo = (host: string, password = credentials.password): RegistryAccess => ({
    credentials: [{ host, user: credentials.user, password }],
  });
  const pushed = (tag: string, access: RegistryAccess = noRegistryAccess) =>
    built(
      { Dockerfile: `${base}RUN echo ${randomBytes(8).toString('hex')} >/once\n` },
      { tags: [tag], push: true },
      { registries: () => Promise.resolve(access) },
    );
  const resolve = (image: string, access: RegistryAccess, pinned?: string) =>
    bench.executor.resolveImage(image, {
      registries: () => Promise.resolve(access),
      onProgress: () => undefined,
      signal: new AbortController().signal,
      ...(pinned === undefined ? {} : { pinned }),
    });
  /** As on another machine. */
  const forget = async (reference: string) => {
    const { RepoTags, RepoDigests } = await docker.getImage(reference).inspect();
    for (const name of [...RepoTags, ...RepoDigests]) {
      await docker
        .getImage(name)
        .remove({ force: true })
        .catch(() => undefined); // It went with the one before.
    }
    await expect(docker.getImage(reference).inspect()).rejects.toMatchObject({ statusCode: 404 });
  };

  test('an image is pushed, and what its tag means is pulled elsewhere by the digest', async () => {
    const tag = `${open.address}/team/app:v1`;
    const { result, text } = await pushed(tag);
    expect(result.exit).toEqual(success);
    const { reference, tags } = result.built!;
    expect(reference).toMatch(new RegExp(`^${open.address}/team/app@sha256:[0-9a-f]{64}$`));
    expect(tags).toEqual([{ image: tag, digest: reference }]);
    expect(text).toContain(reference.slice(reference.indexOf('@') + 1));
    const { Id } = await docker.getImage(reference).inspect();
    expect(await resolve(tag, noRegistryAccess, reference)).toBe(reference);
    await forget(reference);
    // The tag has moved on since.
    await pushed(tag);
    expect(await resolve(tag, noRegistryAccess, reference)).toBe(reference);
    expect((await docker.getImage(reference).inspect()).Id).toBe(Id);
  });

  test('one that asks for credentials gets them, for push, lookup, pull and base images', async () => {
    const tag = `${closed.address}/team/app`;
    const { result } = await pushed(tag, accessTo(closed.address));
    expect(result.exit).toEqual(success);
    const { reference } = result.built!;
    await forget(reference);
    expect(await resolve(tag, accessTo(closed.address))).toBe(reference);
    await forget(reference);
    const upon = await built(
      { Dockerfile: `ARG X=${tag}\nFROM $X\nRUN test -s /once\n` },
      {},
      { registries: () => Promise.resolve(accessTo(closed.address)) },
    );
    expect(upon.result.exit).toEqual(success);
    expect(upon.text).not.toContain(credentials.password);
  });

  test.each([
    ['wrong ones', () => accessTo(closed.address, 'wrong'), /was asked as user ann: set other credentials/],
    ['none', () => noRegistryAccess, /if .* asks for credentials: `gantry projects set PROJECT --registry/],
    ['those of another', () => accessTo(open.address), /if .* asks for credentials/],
    [
      'none, for a reason',
      () => ({ credentials: [], withheld: 'a proposed change gets none' }),
      /a proposed change gets none/,
    ],
  ])('one that asks for credentials and gets %s: theirs, with what to do', async (_, access, remedy) => {
    const tag = `${closed.address}/team/other`;
    const { result, text } = await pushed(tag, access());
    const failure = {
      kind: 'image-unavailable',
      image: tag,
      transient: false,
      message: expect.stringMatching(remedy) as string,
    };
    expect(result.exit).toMatchObject({ kind: 'failed', failure });
    expect(result.built).toBeUndefined();
    expect(text).toMatch(remedy);
    await expect(resolve(tag, access())).rejects.toMatchObject({ failure });
  });

  test('one that is down is not the author’s fault', async () => {
    const down = await startRegistry();
    await down.stop();
    const tag = `${down.address}/team/app`;
    const { result } = await pushed(tag);
    const failure = {
      kind: 'image-unavailable',
      image: tag,
      transient: true,
      message: expect.stringContaining('connection refused') as string,
    };
    expect(result.exit).toMatchObject({ kind: 'failed', failure });
    await expect(resolve(tag, noRegistryAccess)).rejects.toMatchObject({ failure });
  });

  test('two builds of one name at once each push their own image', async () => {
    const tag = `${open.address}/team/raced`;
    const both = await Promise.all([pushed(tag), pushed(tag)]);
    const references = both.map(({ result }) => result.built!.reference);
    expect(new Set(references).size).toBe(2);
    for (const { result } of both) {
      const { Config } = await docker.getImage(result.built!.reference).inspect();
      expect(Config.Labels['gantry.built.agent']).toBe(bench.agent);
    }
  });
});
