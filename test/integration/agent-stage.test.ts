/** The agent's recipe with the real executor, git and storage; only the coordinator is scripted. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../../agent/agent.js';
import { createDockerExecutor } from '../../agent/executor/docker-executor.js';
import type { Executor } from '../../agent/executor/executor.js';
import { createHostExecutor } from '../../agent/executor/host-executor.js';
import { attemptName } from '../../agent/stage/attempt-record.js';
import { createArtifactMover } from '../../agent/stage/artifact-mover.js';
import { createWorkspaces } from '../../agent/stage/workspaces.js';
import { GitMirror } from '../../agent/workspace/git-mirror.js';
import { KeptTrees } from '../../agent/workspace/kept-trees.js';
import { Slots } from '../../agent/workspace/slots.js';
import { HttpTransfer } from '../../shared/blob/http-transfer.js';
import { artifactKey, logIndexKey, logKey, manifestKey } from '../../shared/blob/layout.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { Assignment, PresignObject } from '../../shared/model/agent.js';
import type { AttemptRef, CommitId } from '../../shared/model/ids.js';
import type { PlannedStage } from '../../shared/model/pipeline.js';
import { assignmentOf, plannedArtifact, plannedStage, plannedStep } from '../support/agent-world.js';
import { eventually } from '../support/eventually.js';
import { agentId, runId, token } from '../support/ids.js';
import { ensureTestImage } from '../support/images.js';
import { TestRepository } from '../support/repositories.js';
import { startEmbeddedS3, type TestS3 } from '../support/s3.js';
import { Trace } from '../support/scripted-executor.js';
import { ScriptedCoordinator, ScriptedSession } from '../support/scripted-session.js';

const never = new AbortController().signal;
const agent = agentId(process.pid);
let s3: TestS3;
let store: S3BlobStore;
let directory: string;
let commit: CommitId;
let busybox: string;
let user1000: string;
let nextRun = 0;

beforeAll(async () => {
  busybox = await ensureTestImage('busybox');
  user1000 = await ensureTestImage('user1000');
  s3 = await startEmbeddedS3();
  store = new S3BlobStore({ ...s3, bucket: 'gantry' });
  await store.ensureBucket();
});
afterAll(async () => {
  store.close();
  await s3.stop();
});

interface Process {
  readonly agent: Agent;
  readonly executor: Executor;
  readonly transfer: HttpTransfer;
}

let coordinator: ScriptedCoordinator;
const processes: Process[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-agent-stage-'));
  const repository = await TestRepository.make(join(directory, 'repositories', 'shop'));
  await repository.write({ 'src/hello.txt': 'hello\n', 'run.sh': '#!/bin/sh\necho ran\n' });
  commit = await repository.commit();
  coordinator = new ScriptedCoordinator(new Trace(), { presign, upload });
});
afterEach(async () => {
  for (const each of processes.splice(0)) {
    await each.agent.stop(AbortSignal.abort());
    await each.executor.close();
    each.transfer.close();
  }
  await expectNothingOf(agent);
  await rm(directory, { recursive: true, force: true });
});

function presign(ref: AttemptRef, object: PresignObject): Promise<PresignedUrl> {
  const expires = { expiresSeconds: 600 };
  switch (object.kind) {
    case 'put-log':
      return store.presignPut(logKey(ref, object.step), expires);
    case 'put-log-index':
      return store.presignPut(logIndexKey(ref, object.step), expires);
    case 'put-manifest':
      return store.presignPut(manifestKey(ref), expires);
    case 'put-artifact':
      return store.presignPut(artifactKey(ref, object.number), expires);
    case 'get-manifest':
      return store.presignGet(manifestKey({ ...ref, stage: object.stage }), expires);
    case 'get-artifact':
      return store.presignGet(artifactKey({ ...ref, stage: object.stage }, object.number), expires);
    case 'source':
      throw new Error('the sources of this test are repositories');
  }
}

const upload = (ref: AttemptRef, artifact: { readonly number: number; readonly bytes: number }) => ({
  single: () => presign(ref, { kind: 'put-artifact', ...artifact }),
  parts: () => Promise.reject(new Error('the artifacts of this test are small')),
  finish: () => Promise.resolve(),
  abort: () => Promise.resolve(),
});

/** A new agent process on the same data directory. */
async function startAgent(kind: Executor['kind'] = 'docker'): Promise<Process> {
  const data = join(directory, 'data');
  const log = pino({ level: 'silent' });
  const limits = { pids: 200 };
  const common = { agentId: agent, dataDirectory: data, log };
  const executor =
    kind === 'docker'
      ? createDockerExecutor({ ...common, localImages: ['*'], limits })
      : createHostExecutor({ ...common, ignoreImage: false });
  const slots = await Slots.open(data);
  const transfer = new HttpTransfer();
  const place = 'agent build-7';
  const mirror = await GitMirror.open({
    directory: join(data, 'mirrors'),
    roots: [join(directory, 'repositories')],
    place,
    discard: (path) => slots.discard(path),
  });
  const kept = await KeptTrees.open({
    directory: join(data, 'trees'),
    discard: (path) => slots.discard(path),
  });
  const started = new Agent({
    tools: {
      executor,
      session: new ScriptedSession(coordinator),
      workspaces: createWorkspaces({ slots, mirror, kept, transfer, place }),
      artifacts: createArtifactMover(transfer),
      transfer,
      settings: {
        agentName: 'build-7',
        attemptsDirectory: join(data, 'attempts'),
        ignoreImage: false,
        logLimitBytes: 1e9,
        graceMs: 500,
      },
      log,
      now: Date.now,
    },
    slots: 4,
    version: '1.0.0',
    secondSignalMs: 10,
    probeMs: 100,
    disk: { reason: undefined, check: () => Promise.resolve(undefined) },
    mirrors: () => mirror.projects(),
    sweepSlots: (keep) => slots.discardAllBut(keep),
    onRefused: () => undefined,
  });
  const process = { agent: started, executor, transfer };
  processes.push(process);
  await started.start(never);
  return process;
}

function stageOf(image: string, ...runs: readonly string[]) {
  return plannedStage({ image, steps: runs.map((run, index) => plannedStep(index + 1, { run })) });
}

function assigned(plan = stageOf(busybox, 'true'), more: Partial<Assignment> = {}): Assignment {
  nextRun += 1;
  const source = { kind: 'git', url: join(directory, 'repositories', 'shop'), commit } as const;
  return assignmentOf(plan, { run: runId(nextRun), source, ...more });
}

const nothingLeft = () =>
  eventually('nothing is left of the attempt', async () => {
    return (await readdir(join(directory, 'data', 'attempts'))).length === 0;
  });

async function expectNothingOf(id: string): Promise<void> {
  const docker = promisify(execFile);
  const filter = ['--filter', `label=gantry.agent=${id}`, '-q'];
  expect((await docker('docker', ['ps', '-a', ...filter])).stdout).toBe('');
  expect((await docker('docker', ['network', 'ls', ...filter])).stdout).toBe('');
}

describe('a stage in containers', () => {
  it('runs on a checkout, keeps artifacts and logs in storage, and leaves nothing', async () => {
    await startAgent();
    const first = 'cat src/hello.txt; id -u; touch src/mine; mkdir out';
    const plan = {
      ...stageOf(user1000, first, 'echo made >"out/a b"; sh run.sh'),
      artifacts: [plannedArtifact(1, { paths: ['out/**'] })],
    };
    const assignment = assigned(plan);
    await coordinator.session.assign(assignment);
    const end = await coordinator.end(assignment);
    expect(end).toMatchObject({ status: 'succeeded' });
    expect(coordinator.log(assignment, 1)).toBe('hello\n1000\n');
    await nothingLeft();
    expect((await store.getBytes(logKey(assignment, 2), { maxBytes: 100 })).toString()).toBe('ran\n');
    expect((await store.getBytes(logIndexKey(assignment, 2), { maxBytes: 100 })).toString()).toMatch(
      /^0 \d+\n$/,
    );
    const text = await store.getBytes(manifestKey(assignment), { maxBytes: 10_000 });
    expect(end.manifest).toEqual({
      bytes: text.length,
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    const manifest = JSON.parse(text.toString()) as Manifest;
    expect(manifest.artifacts.map(({ files }) => files)).toMatchObject([[{ path: 'out/a b', size: 5 }]]);

    const need = { stage: 1, attempt: 1, title: 'test', manifest: end.manifest! };
    const next = assigned(
      { ...stageOf(busybox, 'cat "out/a b"'), number: 2 },
      { run: assignment.run, needs: [need] },
    );
    await coordinator.session.assign(next);
    expect((await coordinator.end(next)).status).toBe('succeeded');
    expect(coordinator.log(next, 1)).toBe('made\n');
    await nothingLeft();
  });

  it('says what is wrong with the commit, the image and the artifacts', async () => {
    await startAgent();
    const noCommit = assigned(undefined, {
      source: {
        kind: 'git',
        url: join(directory, 'repositories', 'shop'),
        commit: 'f'.repeat(40) as CommitId,
      },
    });
    const noImage = assigned(stageOf('gantry-test/no-such-image:1', 'true'));
    const noFile = assigned({
      ...stageOf(busybox, 'true'),
      artifacts: [plannedArtifact(1, { paths: ['nothing/*'] })],
    });
    for (const each of [noCommit, noImage, noFile]) await coordinator.session.assign(each);
    expect((await coordinator.end(noCommit)).failure).toMatchObject({ kind: 'checkout-failed' });
    expect((await coordinator.end(noImage)).failure).toMatchObject({ kind: 'image-unavailable' });
    expect((await coordinator.end(noFile)).failure).toMatchObject({
      kind: 'artifact-missing',
      pattern: 'nothing/*',
    });
    await nothingLeft();
  });

  it('ends a step that ignores TERM after its grace, when it is canceled', async () => {
    await startAgent();
    const assignment = assigned(stageOf(busybox, "trap '' TERM; echo started; while :; do sleep 0.05; done"));
    await coordinator.session.assign(assignment);
    await eventually('it started', () => coordinator.log(assignment, 1) === 'started\n');
    coordinator.session.handlers?.end(assignment, assignment.token, 'canceled', 'ada');
    expect(await coordinator.end(assignment)).toMatchObject({
      status: 'canceled',
      failure: { kind: 'canceled', by: 'ada' },
    });
    await nothingLeft();
  });

  it('is adopted by the next process, which reads its log on without a gap or a repetition', async () => {
    const first = await startAgent();
    const count = 'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.05; done';
    const assignment = assigned(stageOf(busybox, count, 'echo second'));
    await coordinator.session.assign(assignment);
    await eventually('some lines arrived', () => coordinator.log(assignment, 1).includes('line 5\n'));
    coordinator.session.kill();
    await first.executor.close();
    await startAgent();
    const end = await coordinator.end(assignment);
    expect(end).toMatchObject({ status: 'succeeded' });
    const lines = Array.from({ length: 60 }, (_, index) => `line ${index + 1}\n`).join('');
    expect(coordinator.log(assignment, 1)).toBe(lines);
    expect(end.logs[0]).toMatchObject({ step: 1, bytes: lines.length });
    expect(coordinator.log(assignment, 2)).toBe('second\n');
    await nothingLeft();
  });

  it('brings 50 MB of output on one line byte for byte', async () => {
    await startAgent();
    const assignment = assigned(stageOf(busybox, "head -c 50000000 /dev/zero | tr '\\0' x"));
    await coordinator.session.assign(assignment);
    const end = await coordinator.end(assignment);
    expect(end).toMatchObject({ status: 'succeeded', logs: [{ bytes: 50_000_000 }] });
    expect(coordinator.log(assignment, 1)).toBe('x'.repeat(50_000_000));
    await nothingLeft();
  });
});

describe('a stage with secrets', () => {
  const value = 'correct horse battery staple';
  const stars = '*'.repeat(value.length);
  const secrets = [{ variable: 'TOKEN', secret: 'TOKEN' }];
  beforeEach(() => {
    coordinator.secrets = { values: new Map([['TOKEN', value]]) };
  });

  /** Names of files below a directory that hold the value. */
  async function filesWith(path: string): Promise<string> {
    const found = promisify(execFile)('grep', ['-rlaF', '-e', value, path]);
    // It ends with 1 where there is none.
    return (await found.catch((error: unknown) => error as { readonly stdout: string })).stdout;
  }

  /** A stage without an image, for an agent that runs steps as processes. */
  const onHost = (plan: PlannedStage): PlannedStage => {
    const { image: _, ...rest } = plan;
    return rest;
  };

  it.each(['docker', 'host'] as const)(
    'has them in memory only, and what it prints of them is masked, live and archived (%s)',
    async (kind) => {
      await startAgent(kind);
      const wait = 'until [ -e go ]; do sleep 0.02; done';
      const plan = { ...stageOf(busybox, `echo ready; ${wait}`, 'echo "it is $TOKEN!"'), secrets };
      const assignment = assigned(kind === 'docker' ? plan : onHost(plan));
      await coordinator.session.assign(assignment);
      await eventually('it started', () => coordinator.log(assignment, 1) === 'ready\n');
      const slot = join(directory, 'data', 'slots', attemptName(assignment));
      expect(await filesWith(directory)).toBe('');
      const scripts = await filesWith(`/dev/shm/gantry-${agent}`);
      expect(scripts).toContain('/1.sh');
      await writeFile(join(slot, 'workspace', 'go'), '');
      const masked = `it is ${stars}!\n`;
      const digest = createHash('sha256').update(masked).digest('hex');
      expect((await coordinator.end(assignment)).logs[1]).toEqual({ step: 2, bytes: 36, sha256: digest });
      expect(coordinator.log(assignment, 2)).toBe(masked);
      await nothingLeft();
      expect((await store.getBytes(logKey(assignment, 2), { maxBytes: 100 })).toString()).toBe(masked);
      // The agent's directory in memory goes with the agent.
      expect(await filesWith('/dev/shm')).toBe('');
    },
  );

  it('stays masked across the death of its agent, byte for byte', async () => {
    const first = await startAgent();
    const count =
      'i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf "line $i: $TOK"; sleep 0.02; printf "%s\\n" "$EN"; sleep 0.02; done';
    const halves = 'TOK=${TOKEN%???????????}; EN=${TOKEN#"$TOK"}';
    const assignment = assigned({ ...stageOf(busybox, `${halves}; ${count}`), secrets });
    await coordinator.session.assign(assignment);
    await eventually('some lines arrived', () => coordinator.log(assignment, 1).includes('line 5: '));
    coordinator.session.kill();
    await first.executor.close();
    await startAgent();
    const end = await coordinator.end(assignment);
    const lines = Array.from({ length: 60 }, (_, index) => `line ${index + 1}: ${stars}\n`).join('');
    expect(coordinator.log(assignment, 1)).toBe(lines);
    expect(end).toMatchObject({ status: 'succeeded', logs: [{ step: 1, bytes: lines.length }] });
    await nothingLeft();
    expect((await store.getBytes(logKey(assignment, 1), { maxBytes: 10_000 })).toString()).toBe(lines);
  });

  it('brings 20 MB with a secret in every line, masked and as long as they were', async () => {
    await startAgent();
    const assignment = assigned({
      ...stageOf(busybox, 'yes "a line with $TOKEN in it" | head -c 20000000'),
      secrets,
    });
    await coordinator.session.assign(assignment);
    const end = await coordinator.end(assignment);
    expect(end).toMatchObject({ status: 'succeeded', logs: [{ bytes: 20_000_000 }] });
    const line = `a line with ${stars} in it\n`;
    const log = coordinator.log(assignment, 1);
    const whole = Math.floor(log.length / line.length) * line.length;
    expect(log.slice(0, whole)).toBe(line.repeat(whole / line.length));
    await nothingLeft();
  });

  it('is not run where its scripts would lie on a disk, and says why', async () => {
    const executor = createHostExecutor({
      agentId: agentId(process.pid + 1),
      dataDirectory: directory,
      log: pino({ level: 'silent' }),
      ignoreImage: false,
    });
    const at = (name: string): string => join(directory, 'slot', name);
    for (const name of ['workspace', 'out']) await mkdir(at(name), { recursive: true });
    const slot = { root: join(directory, 'slot'), workspace: at('workspace'), out: at('out') };
    const box = await executor.openBox(
      {
        ref: { run: runId(1), stage: 1, attempt: 1 },
        token: token(1),
        slot,
        services: [],
        onProgress: () => undefined,
      },
      never,
    );
    try {
      // What lies in memory is put on the disk behind the box's back.
      const memory = `/dev/shm/gantry-${agentId(process.pid + 1)}`;
      await rename(memory, `${memory}-away`).catch(() => undefined);
      await rm(`${memory}-away`, { recursive: true, force: true });
      await mkdir(at('in'));
      await symlink(at('in'), memory);
      await mkdir(join(memory, attemptName({ run: runId(1), stage: 1, attempt: 1 })));
      const command = {
        number: 1,
        run: 'true',
        env: { TOKEN: value },
        secretVariables: ['TOKEN'],
        logLimitBytes: 1e6,
      };
      const handle = await box.prepareStep(command);
      await expect(box.startStep(command, handle)).rejects.toMatchObject({
        failure: { kind: 'secret-unavailable', secret: 'TOKEN' },
      });
      expect(await filesWith(directory)).toBe('');
      await rm(memory);
    } finally {
      await box.remove();
      await executor.close();
    }
  });
});
