/** What the executor suite works with: an executor of each kind, boxes in slots of their own, steps, and the accounts. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { pino } from 'pino';
import { expect } from 'vitest';
import { createDockerExecutor } from '../../agent/executor/docker-executor.js';
import type {
  Box,
  BoxSpec,
  Executor,
  RunningStep,
  StepCommand,
  StepResult,
} from '../../agent/executor/executor.js';
import { createHostExecutor } from '../../agent/executor/host-executor.js';
import {
  base32Of,
  parseAgentId,
  parseRunId,
  parseToken,
  type AgentId,
  type RunId,
} from '../../shared/model/ids.js';
import { noRegistryAccess } from '../../shared/model/registry.js';
import { ensureTestImage, type TestImage } from '../support/images.js';

/** What an executor's boxes can do; a behaviour says what it needs, and runs where all of it is there. */
export interface Capabilities {
  readonly images: boolean;
  readonly services: boolean;
  readonly limits: boolean;
  /** Boxes outlive the agent's process. */
  readonly adoption: boolean;
  /** Boxes are apart from each other and from the machine (`kill -9 -1` in one is survivable). */
  readonly isolation: boolean;
}

export interface Kind {
  readonly name: 'docker' | 'host';
  readonly can: Capabilities;
}

export const kinds: readonly Kind[] = [
  { name: 'docker', can: { images: true, services: true, limits: true, adoption: true, isolation: true } },
  { name: 'host', can: { images: false, services: false, limits: false, adoption: false, isolation: false } },
];

export const docker = new Docker();
const random16 = (): string => base32Of(randomBytes(10));

/** Fails when the id was not made by `base32Of`. */
function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not an id');
  return value;
}

export interface Limits {
  readonly memoryBytes?: number;
  readonly pids: number;
}

export interface BenchOptions {
  readonly limits?: Limits;
  /** Of the daemon; the usual one without. */
  readonly socketPath?: string;
}

export interface OpenOptions {
  readonly image?: TestImage;
  readonly user?: string;
  readonly services?: BoxSpec['services'];
  readonly signal?: AbortSignal;
}

export interface OpenedBox {
  readonly box: Box;
  readonly spec: BoxSpec;
}

export interface RanStep {
  readonly result: StepResult;
  readonly output: Buffer;
  readonly text: string;
}

export const logLimitBytes = 1024 * 1024 * 1024;

export const command = (number: number, run: string, more: Partial<StepCommand> = {}): StepCommand => ({
  number,
  run,
  env: {},
  logLimitBytes,
  ...more,
});

/** One agent's executor and all that was opened with it. */
export class Workbench {
  readonly kind: Kind;
  readonly agent: AgentId;
  readonly dataDirectory: string;
  executor: Executor;
  readonly #limits: Limits;
  readonly #socketPath: string | undefined;
  readonly #opened: Box[] = [];

  private constructor(kind: Kind, agent: AgentId, dataDirectory: string, options: BenchOptions) {
    this.kind = kind;
    this.agent = agent;
    this.dataDirectory = dataDirectory;
    this.#limits = options.limits ?? { pids: 200 };
    this.#socketPath = options.socketPath;
    this.executor = this.newExecutor();
  }

  static async open(kind: Kind, options: BenchOptions = {}): Promise<Workbench> {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'gantry-executor-'));
    return new Workbench(kind, must(parseAgentId(random16())), dataDirectory, options);
  }

  /** As another process of the same agent would have it. */
  newExecutor(): Executor {
    const { agent: agentId, dataDirectory } = this;
    const log = pino({ level: 'silent' });
    if (this.kind.name === 'host')
      return createHostExecutor({ agentId, dataDirectory, log, ignoreImage: false });
    return createDockerExecutor({
      agentId,
      dataDirectory,
      localImages: ['gantry-test/*'],
      limits: this.#limits,
      log,
      ...(this.#socketPath === undefined ? {} : { docker: { socketPath: this.#socketPath } }),
    });
  }

  async spec(options: OpenOptions = {}): Promise<BoxSpec> {
    const run: RunId = must(parseRunId(random16()));
    const root = join(this.dataDirectory, `${run}-1-1`);
    const slot = { root, workspace: join(root, 'workspace'), out: join(root, 'out') };
    await mkdir(slot.workspace, { recursive: true, mode: 0o700 });
    await mkdir(slot.out, { mode: 0o700 });
    return {
      ref: { run, stage: 1, attempt: 1 },
      token: must(parseToken(7)),
      slot,
      services: options.services ?? [],
      onProgress: () => undefined,
      ...(this.kind.can.images ? { image: await this.image(options.image ?? 'bash') } : {}),
      ...(options.user === undefined ? {} : { user: options.user }),
    };
  }

  async image(name: TestImage): Promise<string> {
    const reference = await ensureTestImage(name);
    return this.executor.resolveImage(reference, {
      registries: () => Promise.resolve(noRegistryAccess),
      onProgress: () => undefined,
      signal: new AbortController().signal,
    });
  }

  async box(options: OpenOptions = {}): Promise<OpenedBox> {
    const spec = await this.spec(options);
    const box = await this.executor.openBox(spec, options.signal ?? new AbortController().signal);
    this.#opened.push(box);
    return { box, spec };
  }

  /** After every test: removes what it opened, and everything must be gone. */
  async expectNothingLeft(): Promise<void> {
    for (const box of this.#opened.splice(0)) await box.remove();
    expect(await this.containers()).toEqual([]);
    expect((await this.networks()).filter((role) => role !== 'shared-network')).toEqual([]);
    expect(await markedProcesses(this.agent)).toEqual([]);
  }

  async close(): Promise<void> {
    await this.executor.sweep(new Set());
    await this.executor.close();
    expect(await this.networks()).toEqual([]);
    expect((await readdir('/dev/shm')).filter((name) => name.includes(this.agent))).toEqual([]);
    await this.executor.removeTree(this.dataDirectory);
  }

  async containers(): Promise<string[]> {
    const filters = { label: [`gantry.agent=${this.agent}`] };
    return (await docker.listContainers({ all: true, filters })).map((each) => each.Id);
  }

  async networks(): Promise<string[]> {
    const filters = { label: [`gantry.agent=${this.agent}`] };
    return (await docker.listNetworks({ filters })).map((each) => each.Labels?.['gantry.role'] ?? '');
  }
}

/** Processes of this machine that carry the agent's mark. */
async function markedProcesses(agent: AgentId): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const environments = await Promise.all(
    pids.map(async (pid) => [pid, await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')] as const),
  );
  return environments.filter(([, text]) => text.includes(`GANTRY_BOX=${agent}:`)).map(([pid]) => pid);
}

export async function start(box: Box, step: StepCommand): Promise<RunningStep> {
  return box.startStep(step, await box.prepareStep(step));
}

/** Runs a step to its end and reads its log whole. */
export async function ran(box: Box, step: StepCommand): Promise<RanStep> {
  return ended(await start(box, step));
}

export async function ended(running: RunningStep): Promise<RanStep> {
  const result = await running.finished;
  const output = await readLog(running, result.logBytes);
  await running.log.close();
  return { result, output, text: output.toString('utf8') };
}

export async function readLog(running: RunningStep, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let at = 0;
  while (at < bytes) {
    const read = await running.log.read(at, buffer.subarray(at, at + 1024 * 1024));
    if (read === 0) throw new Error(`the log ends at ${at} of ${bytes} bytes`);
    at += read;
  }
  // Nothing is readable behind the step's own output.
  expect(await running.log.read(bytes, Buffer.alloc(1))).toBe(0);
  return buffer;
}

/** Reads a running step's log until it contains `text`. */
export async function untilLogged(running: RunningStep, text: string, withinMs = 10_000): Promise<string> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const available = await running.log.available();
    const buffer = Buffer.alloc(available);
    await running.log.read(0, buffer);
    const said = buffer.toString('utf8');
    if (said.includes(text)) return said;
    if (performance.now() > deadline)
      throw new Error(`not logged within ${withinMs} ms: ${text}; but: ${said}`);
    await running.log.changed(AbortSignal.timeout(1000));
  }
}

/** Waits for a fact with a deadline. */
export async function until(fact: () => Promise<boolean>, what: string, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await fact())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
