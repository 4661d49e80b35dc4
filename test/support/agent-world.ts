/** An agent with scripted ports on real directories; `start` again is a new process on what the former one left. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { pino } from 'pino';
import type { Assignment } from '../../shared/model/agent.js';
import type { PlannedArtifact, PlannedStage, PlannedStep } from '../../shared/model/pipeline.js';
import { parseSha256, type Sha256 } from '../../shared/model/ids.js';
import { Agent, type AgentOptions } from '../../agent/agent.js';
import { attemptName } from '../../agent/stage/attempt-record.js';
import type { StageTools, StoredArtifacts } from '../../agent/stage/tools.js';
import { commitId, projectId, runId, token } from './ids.js';
import { ScriptedExecutor, ScriptedMachine, Trace } from './scripted-executor.js';
import { ScriptedCoordinator, ScriptedSession } from './scripted-session.js';

export const sha256Of = (text: string | Uint8Array): Sha256 => {
  const digest = parseSha256(createHash('sha256').update(text).digest('hex'));
  if (digest === undefined) throw new Error('no digest');
  return digest;
};

export class AgentWorld {
  readonly trace = new Trace();
  readonly machine = new ScriptedMachine(this.trace);
  readonly coordinator = new ScriptedCoordinator(this.trace);
  /** What was put into storage, by the kind of object and the step. */
  readonly stored = new Map<string, Buffer>();
  /** What the scripted artifact mover answers. */
  storedArtifacts: StoredArtifacts = {};
  readonly diskReason: { now: string | undefined } = { now: undefined };
  readonly refusals: string[] = [];
  executorKind: 'docker' | 'host' = 'docker';
  now: () => number = Date.now;
  readonly #agents: Agent[] = [];

  private constructor(readonly directory: string) {}

  static async make(parent = tmpdir()): Promise<AgentWorld> {
    return new AgentWorld(await mkdtemp(join(parent, 'gantry-agent-')));
  }

  tools(): StageTools {
    const { trace } = this;
    const slots = join(this.directory, 'slots');
    const at = (ref: Parameters<StageTools['workspaces']['at']>[0]) => {
      const root = join(slots, attemptName(ref));
      return { root, workspace: join(root, 'workspace'), out: join(root, 'out') };
    };
    return {
      executor: new ScriptedExecutor(this.machine, this.executorKind),
      session: new ScriptedSession(this.coordinator),
      workspaces: {
        create: async (ref) => {
          await trace.enter('create slot');
          const slot = at(ref);
          await rm(slot.root, { recursive: true, force: true });
          await mkdir(slot.workspace, { recursive: true });
          await mkdir(slot.out);
          return slot;
        },
        at,
        discardWorkspace: async (ref) => {
          await trace.enter('discard workspace');
          await rm(at(ref).workspace, { recursive: true, force: true });
        },
        discard: async (ref) => {
          await trace.enter('discard slot');
          await rm(at(ref).root, { recursive: true, force: true });
        },
        checkout: async (_request, signal) => {
          await trace.enter('checkout');
          signal.throwIfAborted();
        },
        giveTo: () => trace.enter('give workspace'),
      },
      artifacts: {
        restore: async (_request, signal) => {
          await trace.enter('restore');
          signal.throwIfAborted();
        },
        store: async (request, signal) => {
          await trace.enter(`store ${request.artifacts.map(({ name }) => name).join(',')}`);
          signal.throwIfAborted();
          return this.storedArtifacts;
        },
      },
      transfer: {
        putBytes: async (bytes, url) => {
          await trace.enter('putBytes');
          this.stored.set(url.toString(), Buffer.from(bytes));
          return { bytes: bytes.length, sha256: sha256Of(bytes), etag: '"x"' };
        },
        putFile: async (source, url) => {
          await trace.enter('putFile');
          const bytes = Buffer.alloc(source.bytes ?? 0);
          if (typeof source.file === 'number')
            readSync(source.file, bytes, 0, bytes.length, source.start ?? 0);
          this.stored.set(url.toString(), bytes);
          return { bytes: bytes.length, sha256: sha256Of(bytes), etag: '"x"' };
        },
      },
      settings: {
        agentName: 'build-7',
        attemptsDirectory: join(this.directory, 'attempts'),
        ignoreImage: false,
        logLimitBytes: 1e9,
        graceMs: 100,
      },
      log: pino({ level: 'silent' }),
      now: () => this.now(),
    };
  }

  agent(options: Partial<AgentOptions> = {}): Agent {
    const { diskReason } = this;
    return new Agent({
      tools: options.tools ?? this.tools(),
      slots: 2,
      version: '1.0.0',
      secondSignalMs: 10,
      probeMs: 10,
      disk: {
        get reason() {
          return diskReason.now;
        },
        check: () => Promise.resolve(diskReason.now),
      },
      mirrors: () => [],
      sweepSlots: () => this.trace.enter('sweep slots'),
      onRefused: (reason) => this.refusals.push(reason),
      ...options,
    });
  }

  /** A new agent process: adopts, and has its session. */
  async start(options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = this.agent(options);
    this.#agents.push(agent);
    await agent.start(new AbortController().signal);
    return agent;
  }

  /** As `kill -9`: whatever the agent awaits at that call, it never goes on, and nobody hears of it again. */
  kill(): void {
    this.coordinator.session.kill();
  }

  /** Names of what is left of attempts on the disk. */
  async leftovers(): Promise<readonly string[]> {
    const list = (name: string): Promise<readonly string[]> =>
      readdir(join(this.directory, name)).catch(() => []); // Never made.
    return [...(await list('attempts')), ...(await list('slots'))];
  }

  async dispose(): Promise<void> {
    this.trace.close();
    // Steps on the host are not handed over: they are ended.
    const second = this.executorKind === 'host' ? AbortSignal.abort() : new AbortController().signal;
    for (const agent of this.#agents) await agent.stop(second);
    await this.machine.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function plannedStep(number: number, more: Partial<PlannedStep> = {}): PlannedStep {
  return { number, name: `step ${number}`, run: 'true', env: {}, ...more };
}

export function plannedArtifact(number: number, more: Partial<PlannedArtifact> = {}): PlannedArtifact {
  return { number, name: `artifact-${number}`, paths: ['out/**'], when: 'success', optional: false, ...more };
}

export function plannedStage(more: Partial<PlannedStage> = {}): PlannedStage {
  return {
    number: 1,
    name: 'test',
    cell: {},
    needs: [],
    image: 'busybox',
    labels: [],
    env: {},
    services: [],
    timeoutMs: 3_600_000,
    allowFailure: false,
    maxAttempts: 3,
    steps: [plannedStep(1)],
    artifacts: [],
    ...more,
  };
}

export function assignmentOf(plan: PlannedStage, more: Partial<Assignment> = {}): Assignment {
  return {
    run: runId(1),
    stage: plan.number,
    attempt: 1,
    token: token(7),
    stageCount: 1,
    plan,
    facts: {
      event: 'submit',
      trust: 'submit',
      project: projectId(1),
      projectName: 'example.org/shop',
      branch: 'main',
      commit: commitId(1),
      title: 'Add a basket',
      by: 'ada',
      inputs: {},
    },
    source: { kind: 'git', url: 'https://example.org/shop.git', commit: commitId(1) },
    needs: [],
    images: {},
    ...more,
  };
}
