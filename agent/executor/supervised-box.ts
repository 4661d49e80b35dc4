/**
 * A box as the agent sees it, whatever its supervisor runs in: makes a step's files, tells the supervisor its line,
 * and follows it. One step at a time.
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync, watch, writeFileSync, type FSWatcher } from 'node:fs';
import { readFile, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../../shared/async/sleep.js';
import { diskError } from './disk-error.js';
import { ExecutorError, type RunningStep, type StepCommand, type StepHandle } from './executor.js';
import { isInMemory } from './in-directory.js';
import { createEmpty, createGuarded, openGuardedLog, readGuarded, type Owner } from './guarded-file.js';
import { maxEnvBytes, parseStepEnv, type StepEnvironment } from './step-env.js';
import { FollowedLog } from './step-log.js';
import { StepRun } from './step-run.js';
import { prepareScript, type StepPlace } from './step-script.js';
import { parseHandle, type StepIdentity } from './step-handle.js';
import { stepLine } from './supervisor.js';
import type { SupervisorLink } from './supervisor-link.js';

export interface SupervisedBoxOptions {
  readonly agent: string;
  /** Where the agent writes scripts; the step sees it read-only as `place.in`. */
  readonly inDirectory: string;
  /** Hostile. */
  readonly outDirectory: string;
  /** Names of the steps that ran, for `readEnv` after a restart; not visible in the box. */
  readonly stepsFile: string;
  readonly owner: Owner;
  readonly place: Omit<StepPlace, 'id'>;
  readonly link: SupervisorLink;
}

/** How long after a restart a step must show a sign of having been started. */
const startedGraceMs = 5000;

export class SupervisedBox {
  readonly shell: string;
  readonly owner: Owner;
  readonly workspacePath: string;
  readonly #options: SupervisedBoxOptions;
  #current: StepRun | undefined;
  #watcher: FSWatcher | undefined;
  /** What ended steps wrote: reading it again before each step made the cost of a stage quadratic in its steps. */
  readonly #written = new Map<string, StepEnvironment>();
  /** What the steps file holds, read once. */
  #known: Promise<string[]> | undefined;

  constructor(options: SupervisedBoxOptions) {
    this.#options = options;
    this.shell = options.place.shell.name;
    this.owner = options.owner;
    this.workspacePath = options.place.workspace;
  }

  prepareStep(command: Pick<StepCommand, 'number'>): Promise<StepHandle> {
    return Promise.resolve({
      number: command.number,
      id: `${command.number}-${randomBytes(8).toString('hex')}`,
      marker: randomBytes(12).toString('hex'),
      ...this.#options.link.counts(),
    });
  }

  async startStep(command: StepCommand, handle: StepHandle): Promise<RunningStep> {
    const step = parseHandle(handle);
    this.#requireAlive();
    await this.#requireSecrecy(command);
    const { inDirectory, outDirectory, owner, place } = this.#options;
    const path = (suffix: string): string => join(outDirectory, `${step.id}.${suffix}`);
    let script: string;
    try {
      script = prepareScript(command, { ...place, id: step.id });
    } catch (error) {
      const message = `step ${step.number} cannot be started: ${error instanceof Error ? error.message : String(error)}`;
      throw new ExecutorError({ kind: 'invalid-pipeline', message }, { cause: error });
    }
    let run: StepRun | undefined;
    const known = await this.#knownSteps();
    const creating = createGuarded(path('log'), owner);
    try {
      writeFileSync(join(inDirectory, `${step.number}.sh`), script, { mode: 0o644 });
      writeFileSync(join(inDirectory, `step-${step.number}`), command.run, { mode: 0o644 });
      createEmpty(path('env'), owner);
      createEmpty(path('output'), owner);
      appendFileSync(this.#options.stepsFile, `${step.id}\n`, { mode: 0o600 });
      known.push(step.id);
      run = this.#follow(command, step, await creating);
      await this.#options.link.send(stepLine(step));
      return run;
    } catch (error) {
      run?.abandon();
      this.#current = undefined;
      await creating.then(
        (log) => log.close(),
        () => undefined, // Maybe the very error that is thrown below.
      );
      // So that it can be started again with the same handle.
      await this.#forget(step);
      throw error instanceof ExecutorError ? error : this.#startError(step, error);
    }
  }

  /** A script on a disk could be read long after its box is gone. */
  async #requireSecrecy({ secretVariables = [] }: StepCommand): Promise<void> {
    if (secretVariables.length === 0 || (await isInMemory(this.#options.inDirectory))) return;
    const message =
      'this agent can keep no script in memory, and a secret is written to no disk: run the agent where /dev/shm is in memory and, with Docker, is that of the machine of the Docker daemon (in a container: -v /dev/shm:/dev/shm)';
    const secret = secretVariables.join(', ');
    throw new ExecutorError({ kind: 'secret-unavailable', secret, message });
  }

  async #forget(step: StepIdentity): Promise<void> {
    for (const suffix of ['log', 'env', 'output']) {
      await rm(join(this.#options.outDirectory, `${step.id}.${suffix}`), { force: true });
    }
  }

  #startError(step: StepIdentity, error: unknown): ExecutorError {
    const message = `step ${step.number} could not be started: ${error instanceof Error ? error.message : String(error)}`;
    return (
      diskError(error, this.#options.agent) ??
      new ExecutorError({ kind: 'internal', message }, { cause: error })
    );
  }

  async resumeStep(command: StepCommand, handle: StepHandle): Promise<RunningStep> {
    const step = parseHandle(handle);
    // Written down before the supervisor hears of it: what is not in there was certainly not started. The file is asked,
    // not what is remembered of it.
    this.#known = undefined;
    if (!(await this.#knownSteps()).includes(step.id)) {
      await this.#forget(step);
      return this.startStep(command, handle);
    }
    const log = await openGuardedLog(join(this.#options.outDirectory, `${step.id}.log`));
    if (log === undefined) {
      const message = `step ${step.number} removed its own log while the agent was away`;
      throw new ExecutorError({ kind: 'box-broken', message });
    }
    if (await this.#showsSigns(step)) return this.#follow(command, step, log);
    // It may be in the supervisor's stdin or not; running it a second time is the one thing that must not happen.
    await log.close();
    const message = `the agent was stopped in the moment in which it started step ${step.number}: whether it ran is not known`;
    throw new ExecutorError({ kind: 'box-broken', message });
  }

  async #showsSigns(step: StepIdentity): Promise<boolean> {
    const { outDirectory, link } = this.#options;
    const deadline = performance.now() + startedGraceMs;
    for (;;) {
      for (const suffix of ['pid', 'exit', 'log']) {
        const content = readGuarded(join(outDirectory, `${step.id}.${suffix}`), 1);
        if (content !== undefined && content.length > 0) return true;
      }
      if (link.lost !== undefined || (await link.processes()).some((each) => each.stepId === step.id))
        return true;
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
  }

  #follow(command: StepCommand, step: StepIdentity, handle: FileHandle): StepRun {
    this.#watchOut();
    const { agent, outDirectory, link } = this.#options;
    const log = new FollowedLog({ handle, marker: step.marker, limitBytes: command.logLimitBytes });
    const run: StepRun = new StepRun({
      agent,
      number: step.number,
      id: step.id,
      out: outDirectory,
      log,
      limitBytes: command.logLimitBytes,
      link,
      before: step.before,
      onEnd: () => {
        if (this.#current === run) this.#current = undefined;
        const written = this.#envOf(step.id);
        this.#written.set(step.id, written);
        return written.problems;
      },
    });
    this.#current = run;
    return run;
  }

  /** inotify of the out directory: within 10 ms; where it cannot be had (limit reached) the steps' own ticks serve. */
  #watchOut(): void {
    if (this.#watcher !== undefined) return;
    try {
      this.#watcher = watch(this.#options.outDirectory, { persistent: false }, (_event, name) => {
        if (name !== null) this.#current?.touched(name);
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // See above: 50 ms instead of a few.
    }
  }

  async readEnv(): Promise<Readonly<Record<string, string>>> {
    const entries: [string, string][] = [];
    for (const id of await this.#knownSteps()) {
      const { variables } = this.#written.get(id) ?? this.#envOf(id);
      entries.push(...Object.entries(variables));
    }
    return Object.fromEntries(entries);
  }

  /** Ids of the steps that were started, or were about to be, in their order. */
  #knownSteps(): Promise<string[]> {
    this.#known ??= readFile(this.#options.stepsFile, 'utf8').then(
      (text) => text.split('\n').filter((line) => line !== ''),
      () => [], // No step was started yet.
    );
    return this.#known;
  }

  #envOf(id: string): StepEnvironment {
    const content = readGuarded(join(this.#options.outDirectory, `${id}.env`), maxEnvBytes + 1);
    if (content === undefined || content.length === 0) return { variables: {}, problems: [] };
    if (content.length > maxEnvBytes) {
      return { variables: {}, problems: ['$GANTRY_ENV was ignored: it is larger than 1 MiB'] };
    }
    return parseStepEnv(content.toString('utf8'));
  }

  /** Stops following the step that runs; its `finished` never settles. */
  protected abandon(): void {
    this.#current?.abandon();
    this.#current = undefined;
  }

  /** Stops watching; called when the box is removed. */
  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #requireAlive(): void {
    const { lost } = this.#options.link;
    if (lost !== undefined) throw new ExecutorError(lost);
    if (this.#current !== undefined) {
      throw new ExecutorError({
        kind: 'internal',
        message: 'a box runs one step at a time, and one is running',
      });
    }
  }
}
