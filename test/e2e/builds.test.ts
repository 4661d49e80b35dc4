/**
 * Images that a pipeline builds: from the workspace to a registry and on to the stages that use them, by digest; and the
 * credentials of a project's registries, which go to its agents' Docker daemon and nowhere else.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ensureTestImage, removeUntagged } from '../support/images.js';
import { runProgram, startUp, type Up } from '../support/installation.js';
import { startRegistry, type RegistryServer } from '../support/registry.js';
import { Remote } from '../support/remote.js';

const login = { user: 'ci', password: 'Pa55/word+of-the-registry' };
/** Its own names in the daemon that all tests share. */
const local = `gantry-e2e-${randomBytes(4).toString('hex')}`;
const docker = new Docker();

/** Images that builds have told of, also those that came to nothing. */
const layers = new Set<string>();

let root: string;
let up: Up;
let remote: Remote;
let registry: RegistryServer;

const pipeline = (): string => `on: { branches: [never] }
image: gantry-test/busybox
stages:
  image:
    steps:
      - echo "$GANTRY_RUN" > unique
      - name: the image
        build:
          tags: ["${registry.address}/team/app:v1", "${registry.address}/team/app"]
          args: { WHO: people }
          push: true
      - echo "image $GANTRY_IMAGE"
      - build: { context: upon, tags: ${local}/upon, args: { BASE: "${registry.address}/team/app:v1" } }
      - echo "image $GANTRY_IMAGE"
  use:
    needs: [image]
    image: ${registry.address}/team/app:v1
    steps: [cat /who /unique]
  upon:
    needs: [image]
    image: ${local}/upon
    steps: [cat /upon]
  fails:
    steps:
      - build: { context: failing }
      - echo never
  late:
    steps: [{ build: { context: slow }, timeout: 1s }]
  slow:
    steps:
      - build: { context: slow, tags: ${local}/slow }
      - echo "after $GANTRY_IMAGE"
`;
const files = (): Readonly<Record<string, string>> => ({
  '.gantry.yml': pipeline(),
  Dockerfile: 'FROM gantry-test/busybox\nARG WHO\nCOPY unique /\nRUN echo "$WHO" >/who\n',
  'upon/Dockerfile': 'ARG BASE\nFROM $BASE\nRUN cat /who >/upon\n',
  'failing/Dockerfile': 'FROM gantry-test/busybox\nRUN echo tried; exit 9\n',
  'slow/Dockerfile': 'FROM gantry-test/busybox\nRUN echo one\nRUN echo two; sleep 3\nRUN echo three\n',
});

beforeAll(async () => {
  await ensureTestImage('busybox');
  root = await mkdtemp(join(tmpdir(), 'gantry-remotes-'));
  registry = await startRegistry({ credentials: login });
  up = await startUp(['--agents', '1', '--slots', '2', '--repo-root', root]);
  remote = await Remote.make(root);
  await remote.commit(files());
  await remote.push();
  await up.json(['projects', 'add', remote.directory, '--poll', '0']);
});
afterAll(async () => {
  await up.stop();
  await registry.stop();
  const images = await docker.listImages();
  for (const tag of images.flatMap(({ RepoTags, RepoDigests }) => [
    ...(RepoTags ?? []),
    ...(RepoDigests ?? []),
  ])) {
    if (!tag.startsWith(`${local}/`) && !tag.startsWith(`${registry.address}/`)) continue;
    await docker
      .getImage(tag)
      .remove({ force: true })
      .catch(() => undefined); // Gone with another tag.
  }
  await removeUntagged(layers);
  await rm(root, { recursive: true, force: true });
});

const setRegistry = (password: string): Promise<unknown> =>
  up.json(['projects', 'set', 'app', '--registry', registry.address, '--registry-user', login.user], {
    input: `${password}\n`,
  });

async function submit(...stages: readonly string[]): Promise<string> {
  const wanted = stages.flatMap((stage) => ['--stage', stage]);
  return (
    (await up.json(['submit', '--repo', remote.directory, '--commit', 'main', ...wanted])) as { run: string }
  ).run;
}
async function ended(run: string): Promise<number> {
  return (await up.gantry(['wait', run], { timeoutMs: 120_000 })).code;
}
async function logOf(run: string, stage: string, step: number): Promise<string> {
  const { stdout } = await up.gantry(['logs', run, stage, String(step), '--raw']);
  for (const [, id = ''] of stdout.matchAll(/^ ---> ([0-9a-f]{12})$/gm)) layers.add(id);
  return stdout;
}
const show = async (run: string): Promise<string> => (await up.gantry(['show', run])).stdout;

describe('a registry that asks for credentials', () => {
  it('gets none of a project that has none: the stage fails with what to do', async () => {
    const run = await submit('image');
    expect(await ended(run)).toBe(1);
    expect(await show(run)).toMatch(/cannot be pushed: .*gantry projects set PROJECT --registry 127/s);
    expect(await logOf(run, 'image', 2)).toMatch(/no basic auth credentials/);
  });

  it('refuses wrong ones: the stage fails with what to do', async () => {
    await setRegistry('wrong');
    const run = await submit('image');
    expect(await ended(run)).toBe(1);
    expect((await show(run)).replace(/\s+/g, ' ')).toMatch(
      /unauthorized: .* was asked as user ci: set other/,
    );
  });

  it('is set, shown and forgotten by `gantry projects set`, never with its password', async () => {
    await setRegistry(login.password);
    const shown = await up.gantry(['projects', 'show', 'app']);
    expect(shown.stdout).toContain(`${registry.address} as ci`);
    const json = (await up.json(['projects', 'show', 'app'])) as { registries: unknown };
    expect(json.registries).toMatchObject([{ host: registry.address, user: 'ci' }]);
    const audit = await up.gantry(['audit', '--json']);
    expect(audit.stdout).toContain('registry.set');
    for (const { stdout } of [shown, audit]) expect(stdout).not.toContain(login.password);
    await up.json(['projects', 'set', 'app', '--forget-registry', registry.address]);
    expect(((await up.json(['projects', 'show', 'app'])) as { registries?: [] }).registries ?? []).toEqual(
      [],
    );
    const again = await up.gantry(['projects', 'set', 'app', '--forget-registry', registry.address]);
    expect(again.code).toBe(4);
    const half = await up.gantry(['projects', 'set', 'app', '--registry', 'x.org']);
    expect(half).toMatchObject({ code: 2 });
    expect(half.stderr).toContain('needs --registry-user');
  });
});

describe('a built image', () => {
  it('is pushed, and stages that name it start from exactly that', async () => {
    await setRegistry(login.password);
    const run = await submit('use', 'upon');
    expect(await ended(run), await show(run)).toBe(0);
    const reference = /^image (\S+)\n$/.exec(await logOf(run, 'image', 3))?.[1] ?? '';
    expect(reference).toMatch(new RegExp(`^${registry.address}/team/app@sha256:[0-9a-f]{64}$`));
    const log = await logOf(run, 'image', 2);
    expect(log).toMatch(/^gantry-test\/busybox is sha256:[0-9a-f]{64}\n[^]*Step 1\/\d+ : FROM sha256:/);
    expect(log).toContain(`Built ${reference}\n`);
    expect(await logOf(run, 'image', 4)).toContain(`${registry.address}/team/app:v1 is ${reference}\n`);
    expect(await logOf(run, 'image', 5)).toMatch(/^image sha256:[0-9a-f]{64}\n$/);
    expect(await logOf(run, 'use', 1)).toBe(`people\n${run}\n`);
    expect(await logOf(run, 'upon', 1)).toBe('people\n');

    // The tag means another image now, in a run of its own.
    const other = await submit('use');
    expect(await ended(other)).toBe(0);
    expect(await logOf(other, 'use', 1)).toBe(`people\n${other}\n`);
  });

  it('takes no password with it: not into NATS, logs, files or the image', async () => {
    const patterns = [login.password, Buffer.from(login.password).toString('base64').slice(0, 24)];
    const found = await runProgram('grep', ['-rlaF', ...patterns.flatMap((one) => ['-e', one]), up.data]);
    expect(found.stdout).toBe('');
    const history = await runProgram('docker', ['history', '--no-trunc', `${registry.address}/team/app:v1`]);
    expect(history.code).toBe(0);
    expect(history.stdout).not.toContain(login.password);
  });

  it('that cannot be built fails its stage by the exit code of the command', async () => {
    const run = await submit('fails');
    expect(await ended(run)).toBe(1);
    const { stages } = (await up.json(['show', run])) as {
      stages: { steps: { exitCode?: number; status: string }[] }[];
    };
    expect(stages[0]?.steps).toMatchObject([{ exitCode: 9, status: 'failed' }, {}]);
    expect(await logOf(run, 'fails', 1)).toMatch(/tried\n/);
    expect(await logOf(run, 'fails', 2)).toBe('');
  });

  it('that takes longer than its step may is given up', async () => {
    const run = await submit('late');
    expect(await ended(run)).toBe(1);
    expect(await show(run)).toContain('step 1 ran longer than 1 s');
    expect(await logOf(run, 'late', 1)).toContain('Step 1/');
  });

  it('is built although its agent is killed meanwhile, in one attempt', async () => {
    const run = await submit('slow');
    await eventually('it builds', async () => (await logOf(run, 'slow', 1)).includes('two\n'), 60_000);
    const agent = (await up.daemons()).find(({ name }) => name === 'agent-1');
    process.kill(agent?.pid ?? 0, 'SIGKILL');
    expect(await ended(run), await show(run)).toBe(0);
    const log = await logOf(run, 'slow', 1);
    expect(log.match(/The agent was restarted/g)).toHaveLength(1);
    expect(log).toMatch(/three\n[^]*Built sha256:/);
    expect(await logOf(run, 'slow', 2)).toMatch(/^after sha256:/);
    const { stages } = (await up.json(['show', run])) as { stages: { attempts: unknown[] }[] };
    expect(stages[0]?.attempts).toHaveLength(1);
  });

  it('is not built any more when its run is canceled', async () => {
    await remote.commit({
      'slow/Dockerfile': 'FROM gantry-test/busybox\nRUN echo begun; sleep 1000\n',
    });
    await remote.push();
    const run = await submit('slow');
    await eventually('it builds', async () => (await logOf(run, 'slow', 1)).includes('begun\n'), 60_000);
    await up.json(['cancel', run]);
    expect(await ended(run)).toBe(6);
    await eventually('no container of the build is left', async () => {
      const all = await docker.listContainers({ all: true });
      return !all.some(({ Labels }) => (Labels['gantry.built.attempt'] ?? '').startsWith(run));
    });
  });
});
