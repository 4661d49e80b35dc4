/**
 * An executor whose boxes and steps do what the test says, when it says it. Boxes belong to the world, not to the
 * executor object, as containers belong to the machine: a second executor on the same world finds them.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { deferred } from '../../shared/async/deferred.js';
import { sleep } from '../../shared/async/sleep.js';
import { attemptKey } from '../../shared/model/ids.js';
import {
  ExecutorError,
  type Box,
  type BoxSpec,
  type Executor,
  type FoundBox,
  type RunningStep,
  type StepCommand,
  type StepExit,
  type StepHandle,
  type StepLog,
  type StepResult,
} from '../../agent/executor/executor.js';
import { eventually } from './eventually.js';

/** What happened, in order, at all ports of a world; and what happens before a call goes on. */
export class Trace {
  readonly calls: string[] = [];
  readonly #hooks = new Map<string, () => unknown>();
  readonly #over = deferred<never>();

  constructor() {
    this.#over.promise.catch(() => undefined);
  }

  /** Runs at the next calls of that name, before they do anything; may block or throw. */
  before(call: string, hook: () => unknown): void {
    this.#hooks.set(call, hook);
  }

  forget(call: string): void {
    this.#hooks.delete(call);
  }

  async enter(call: string): Promise<void> {
    this.calls.push(call);
    await Promise.race([this.#hooks.get(call)?.(), this.#over.promise]);
  }

  /** From the next call of that name on, nobody goes on until the function that it resolves to is called. */
  async holdAt(call: string): Promise<() => void> {
    const reached = deferred<undefined>();
    const held = deferred<undefined>();
    this.before(call, () => {
      reached.resolve(undefined);
      return held.promise;
    });
    await reached.promise;
    return () => {
      this.forget(call);
      held.resolve(undefined);
    };
  }

  /** The test is over: whoever is held fails. */
  close(): void {
    this.#hooks.clear();
    this.#over.reject(new Error('the test is over'));
  }

  /** The calls among those named, in order. */
  only(...names: readonly string[]): readonly string[] {
    return this.calls.filter((call) => names.includes(call));
  }
}

export class ScriptedStep {
  readonly result = deferred<StepResult>();
  readonly terminations: number[] = [];
  written = 0;
  ended = false;

  constructor(
    readonly command: StepCommand,
    readonly file: FileHandle,
    readonly path: string,
  ) {
    this.result.promise.catch(() => undefined);
  }

  async print(output: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(output as string);
    await this.file.write(bytes, 0, bytes.length, this.written);
    this.written += bytes.length;
  }

  exit(exitCode: number): void {
    this.#end({ kind: 'exited', exitCode });
  }

  end(exit: StepExit): void {
    this.#end(exit);
  }

  break(message: string): void {
    this.ended = true;
    this.result.reject(new ExecutorError({ kind: 'box-broken', message }));
  }

  #end(exit: StepExit): void {
    this.ended = true;
    this.result.resolve({ exit, logBytes: this.written });
  }
}

export class ScriptedBox {
  readonly steps: ScriptedStep[] = [];
  readonly env: Record<string, string> = {};
  frozen = false;

  constructor(readonly spec: BoxSpec) {}
}

/** What a machine would keep when an agent is killed. */
export class ScriptedMachine {
  readonly boxes = new Map<string, ScriptedBox>();
  /** Removed ones too. */
  readonly all: ScriptedBox[] = [];
  /** What images are taken for before they are resolved. */
  readonly likely = new Map<string, string>();
  /** What a step does when it is told to end; by default it obeys at once. */
  onTerminate: (step: ScriptedStep) => void = (step) => step.end({ kind: 'terminated' });
  /** Runs when a step starts; by default nothing: the test ends it. */
  onStart: (step: ScriptedStep) => Promise<void> | void = () => undefined;

  constructor(readonly trace: Trace) {}

  get allSteps(): readonly ScriptedStep[] {
    return [...this.boxes.values()].flatMap((box) => box.steps);
  }

  async close(): Promise<void> {
    for (const box of this.all) for (const step of box.steps) await step.file.close();
  }

  /** The step of that number, of the only box, once it has started. */
  step(number: number): Promise<ScriptedStep> {
    return eventually(`step ${number} starts`, () =>
      this.allSteps.find((step) => step.command.number === number),
    );
  }
}

export class ScriptedExecutor implements Executor {
  readonly labels = ['executor=docker'];

  constructor(
    readonly machine: ScriptedMachine,
    readonly kind: 'docker' | 'host' = 'docker',
  ) {}

  get #trace(): Trace {
    return this.machine.trace;
  }

  async check(): Promise<void> {
    await this.#trace.enter('check');
  }

  likelyImage(image: string, pinned: string | undefined): string | undefined {
    return this.machine.likely.get(image) ?? pinned;
  }

  async resolveImage(image: string, options: Parameters<Executor['resolveImage']>[1]): Promise<string> {
    await this.#trace.enter(`resolve ${image}`);
    options.signal.throwIfAborted();
    return options.pinned ?? `sha256:of-${image}`;
  }

  async openBox(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    await this.#trace.enter('openBox');
    signal.throwIfAborted();
    const box = new ScriptedBox(spec);
    this.machine.boxes.set(attemptKey(spec.ref), box);
    this.machine.all.push(box);
    return this.#port(box);
  }

  async findBoxes(): Promise<readonly FoundBox[]> {
    await this.#trace.enter('findBoxes');
    return [...this.machine.boxes.values()].map(({ spec: { ref, token } }) => ({ ref, token }));
  }

  async adoptBox(spec: BoxSpec): Promise<Box | undefined> {
    await this.#trace.enter('adoptBox');
    const box = this.machine.boxes.get(attemptKey(spec.ref));
    return box === undefined || box.spec.token !== spec.token ? undefined : this.#port(box);
  }

  async sweep(keep: ReadonlySet<string>): Promise<void> {
    await this.#trace.enter('sweep');
    for (const key of this.machine.boxes.keys()) if (!keep.has(key)) this.machine.boxes.delete(key);
  }

  async removeTree(): Promise<void> {
    await this.#trace.enter('removeTree');
  }

  async close(): Promise<void> {
    await this.#trace.enter('close executor');
  }

  #port(box: ScriptedBox): Box {
    const { machine } = this;
    const trace = this.#trace;
    return {
      shell: 'sh',
      owner: { uid: 1000, gid: 1000 },
      workspacePath: '/workspace',
      prepareStep: async (command) => {
        await trace.enter(`prepareStep ${command.number}`);
        return { number: command.number, path: join(box.spec.slot.out, `${command.number}.log`) };
      },
      startStep: async (command, handle) => {
        await trace.enter(`startStep ${command.number}`);
        return start(machine, box, command, handle);
      },
      resumeStep: async (command, handle) => {
        await trace.enter(`resumeStep ${command.number}`);
        const step = box.steps.find((each) => each.command.number === command.number);
        if (step === undefined) return start(machine, box, command, handle);
        return follow(machine, step, await open(step.path, 'r+'));
      },
      readEnv: () => Promise.resolve({ ...box.env }),
      freeze: async () => {
        await trace.enter('freeze');
        box.frozen = true;
      },
      remove: async () => {
        await trace.enter('remove');
        machine.boxes.delete(attemptKey(box.spec.ref));
      },
    };
  }
}

async function start(
  machine: ScriptedMachine,
  box: ScriptedBox,
  command: StepCommand,
  handle: StepHandle,
): Promise<RunningStep> {
  const path = String(handle['path']);
  const step = new ScriptedStep(command, await open(path, 'w+'), path);
  box.steps.push(step);
  await machine.onStart(step);
  return follow(machine, step, await open(path, 'r+'));
}

function follow(machine: ScriptedMachine, step: ScriptedStep, file: FileHandle): RunningStep {
  return {
    log: logOf(step, file),
    finished: step.result.promise,
    terminate: async (graceMs) => {
      step.terminations.push(graceMs);
      if (!step.ended) machine.onTerminate(step);
      await step.result.promise.catch(() => undefined);
    },
  };
}

function logOf(step: ScriptedStep, file: FileHandle): StepLog {
  return {
    fd: file.fd,
    available: () => Promise.resolve(step.written),
    read: async (offset, buffer) =>
      (await file.read(buffer, 0, Math.min(buffer.length, Math.max(0, step.written - offset)), offset))
        .bytesRead,
    changed: (signal) => sleep(5, signal).catch(() => undefined),
    close: () => file.close(),
  };
}
