/**
 * Events of a run to lines for people: one line for each thing that happened. It remembers what it has said, so a
 * `state` (the first message, or after the stream was interrupted) prints only what is new, and an event that comes
 * twice is silent.
 */
import { blameOf, describeFailure, type Failure } from '../../../shared/model/failure.js';
import { shortRunId } from '../../../shared/model/ids.js';
import { isEnded, type RunStatus, type RunView, type StageStatus } from '../../../shared/model/run.js';
import { count, duration, padEnd, shorten } from '../format.js';
import { colors, type Colors } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { missedEvents } from './missed-events.js';
import { beginAttempt, newStageMemory, type StageMemory } from './stage-memory.js';
import type { FollowEvent } from './watch-event.js';

export interface PrintedLine {
  readonly text: string;
  /** The end of this step's log is wanted below the line. */
  readonly tail?: { readonly stage: number; readonly attempt: number; readonly step: number };
}

type Of<Kind extends FollowEvent['kind']> = Extract<FollowEvent, { readonly kind: Kind }>;

/** Progress is said once nothing else was for so long: what is quick needs no word. */
const progressAfterMs = 1000;
/** The same activity again: after so long, or when a quarter more is done. */
const progressEveryMs = 10_000;
const progressStep = 0.25;
const maxTitle = 32;

export class FollowPrinter {
  readonly #paint: Colors;
  readonly #stages = new Map<number, StageMemory>();
  readonly #images = new Map<string, string>();
  #submittedAt: number | undefined;
  #width = 4;
  #ended = false;

  constructor(options: { readonly color: boolean }) {
    this.#paint = colors(options.color);
  }

  print(event: FollowEvent): readonly PrintedLine[] {
    switch (event.kind) {
      case 'state':
        return this.#state(event.at, event.run);
      case 'stage':
        return this.#stage(event);
      case 'attempt':
        return this.#attempt(event);
      case 'step':
        return this.#step(event);
      case 'progress':
        return this.#progress(event);
      case 'image':
        return this.#image(event);
      case 'run':
        return this.#run(event);
    }
  }

  #state(at: string, run: RunView): readonly PrintedLine[] {
    const lines: PrintedLine[] = [];
    for (const stage of run.stages) this.#memoryOf(stage.number, stage.title, stage.steps.length);
    if (this.#submittedAt === undefined) {
      this.#submittedAt = Date.parse(run.submittedAt);
      lines.push({ text: headline(run, this.#paint) });
    }
    return [...lines, ...missedEvents(run, at).flatMap((event) => this.print(event))];
  }

  #stage(event: Of<'stage'>): readonly PrintedLine[] {
    const memory = this.#memoryOf(event.stage, event.title);
    const { status, failure } = event;
    const again = memory.status === status;
    memory.status = status;
    if (status === 'waiting') return this.#waiting(event, memory);
    if (again) return [];
    const paint = this.#paint;
    const took = Number.isNaN(memory.startedAt)
      ? ''
      : ` in ${duration(Date.parse(event.at) - memory.startedAt)}`;
    switch (status) {
      case 'pending':
      case 'running':
        // The attempt says that it runs, and where.
        return [];
      case 'succeeded':
        return [this.#line(event.at, memory, paint.green(`✓ succeeded${took}`))];
      case 'failed': {
        const said = failure !== null && memory.attemptReason === failureText(failure);
        const text =
          said && memory.attempt > 1
            ? `✗ failed after ${memory.attempt} attempts`
            : `✗ failed${took}: ${failureText(failure)}`;
        return [this.#line(event.at, memory, paint.red(text))];
      }
      case 'canceled':
        return [
          this.#line(
            event.at,
            memory,
            paint.yellow(`– ${failure === null ? 'canceled' : failureText(failure)}`),
          ),
        ];
      case 'skipped': {
        const why = event.whySkipped === null ? '' : `: ${printable(event.whySkipped)}`;
        return [this.#line(event.at, memory, paint.dim(`– skipped${why}`))];
      }
    }
  }

  #waiting(event: Of<'stage'>, memory: StageMemory): readonly PrintedLine[] {
    const why = printable(event.waitingFor.join('; '));
    if (why === '' || why === memory.waitingFor) return [];
    // Just submitted: whatever it waits for, mostly it does not for long. Who follows asks again when it does.
    if (this.#submittedAt !== undefined && Date.parse(event.at) - this.#submittedAt < progressAfterMs)
      return [];
    memory.waitingFor = why;
    return [this.#line(event.at, memory, this.#paint.dim(`waiting: ${why}`))];
  }

  #attempt(event: Of<'attempt'>): readonly PrintedLine[] {
    const memory = this.#memoryOf(event.stage, event.title);
    if (event.attempt < memory.attempt) return [];
    beginAttempt(memory, event.attempt);
    switch (event.status) {
      case 'leased':
      case 'succeeded':
      case 'canceled':
        return [];
      case 'running': {
        if (memory.started) return [];
        memory.started = true;
        memory.startedAt = Date.parse(event.at);
        const again = event.attempt > 1 ? `, attempt ${event.attempt}` : '';
        return [this.#line(event.at, memory, `started on ${printable(event.agentName)}${again}`)];
      }
      case 'lost':
      case 'failed': {
        // One that failed by the change's fault ends the stage, which says it.
        const theirs = event.failure !== null && blameOf(event.failure) !== 'ours';
        if (memory.attemptEnded || (event.status === 'failed' && theirs)) return [];
        memory.attemptEnded = true;
        memory.attemptReason =
          event.failure === null ? printable(event.reason ?? event.status) : failureText(event.failure);
        return [
          this.#line(
            event.at,
            memory,
            this.#paint.yellow(`! attempt ${event.attempt}: ${memory.attemptReason}`),
          ),
        ];
      }
    }
  }

  #step(event: Of<'step'>): readonly PrintedLine[] {
    const memory = this.#memoryOf(event.stage, event.title);
    if (event.attempt < memory.attempt) return [];
    beginAttempt(memory, event.attempt);
    const before = memory.steps.get(event.step);
    if (before === event.status || (before !== undefined && before !== 'running')) return [];
    memory.steps.set(event.step, event.status);
    const paint = this.#paint;
    const name = `${memory.stepCount > 1 ? `${event.step}/${memory.stepCount} ` : ''}${shorten(printable(event.name), 72)}`;
    const took = duration(event.durationMs);
    switch (event.status) {
      case 'pending':
      case 'skipped':
        memory.steps.delete(event.step);
        return [];
      case 'running':
        return [this.#line(event.at, memory, paint.cyan(`▸ ${name}`))];
      case 'succeeded':
        return [this.#line(event.at, memory, `${paint.green('✓')} ${name}  ${paint.dim(took)}`)];
      case 'canceled':
        return [this.#line(event.at, memory, `${paint.yellow('–')} ${name}  canceled after ${took}`)];
      case 'failed': {
        const { failure, exitCode } = event;
        if (failure !== null && blameOf(failure) === 'ours') {
          return [this.#line(event.at, memory, `${paint.yellow('–')} ${name}  broken off after ${took}`)];
        }
        const why =
          failure === null || failure.kind === 'exit-code'
            ? `exit code ${exitCode ?? '?'}`
            : failureText(failure);
        const { text } = this.#line(event.at, memory, `${paint.red(`✗ ${name}`)}  ${why} after ${took}`);
        return [{ text, tail: { stage: event.stage, attempt: event.attempt, step: event.step } }];
      }
    }
  }

  #progress(event: Of<'progress'>): readonly PrintedLine[] {
    const memory = this.#memoryOf(event.stage, event.title);
    const quiet = Date.parse(event.at) - memory.saidAt;
    const fraction = event.fraction ?? 0;
    const isNew = event.activity !== memory.activity;
    const more = isNew || fraction - memory.activityFraction >= progressStep;
    if (event.activity === '' || !(more ? quiet >= progressAfterMs : quiet >= progressEveryMs)) return [];
    memory.activity = event.activity;
    memory.activityFraction = fraction;
    const percent = event.fraction === null ? '' : ` ${Math.floor(event.fraction * 100)} %`;
    return [this.#line(event.at, memory, this.#paint.dim(`… ${printable(event.activity)}${percent}`))];
  }

  #image({ at, image, digest }: Of<'image'>): readonly PrintedLine[] {
    if (this.#images.get(image) === digest) return [];
    this.#images.set(image, digest);
    const text = `image ${printable(image)} is ${shorten(printable(digest), 26)}`;
    return [{ text: `${this.#clock(at)}  ${this.#paint.dim(text)}` }];
  }

  #run({ at, status }: Of<'run'>): readonly PrintedLine[] {
    if (this.#ended || !isEnded(status)) return [];
    this.#ended = true;
    return [{ text: `${this.#clock(at)}  ${this.#verdict(status)}` }];
  }

  #verdict(status: RunStatus): string {
    const all = [...this.#stages.values()];
    const ends: readonly StageStatus[] = ['succeeded', 'failed', 'canceled', 'skipped'];
    const parts = ends
      .map((end) => [all.filter((stage) => stage.status === end).length, end] as const)
      .filter(([n]) => n > 0)
      .map(([n, end]) => `${n} ${end}`);
    const { green, red, yellow } = this.#paint;
    const color = status === 'succeeded' ? green : status === 'failed' ? red : yellow;
    return `${color(`run ${status}`)}  (${count(all.length, 'stage')}: ${parts.join(', ')})`;
  }

  #memoryOf(number: number, title: string, stepCount = 0): StageMemory {
    const known = this.#stages.get(number);
    if (known !== undefined) return known;
    const fresh = newStageMemory(shorten(printable(title), maxTitle), stepCount);
    this.#width = Math.max(this.#width, fresh.title.length);
    this.#stages.set(number, fresh);
    return fresh;
  }

  /** Time since the run was submitted. */
  #clock(at: string): string {
    const since = this.#submittedAt === undefined ? Number.NaN : Date.parse(at) - this.#submittedAt;
    return this.#paint.dim((Number.isNaN(since) ? '' : duration(since)).padStart(9));
  }

  #line(at: string, memory: StageMemory, text: string): PrintedLine {
    memory.saidAt = Date.parse(at);
    return { text: `${this.#clock(at)}  ${padEnd(this.#paint.bold(memory.title), this.#width)}  ${text}` };
  }
}

const failureText = (failure: Failure | null): string =>
  failure === null ? 'no reason was given' : printable(describeFailure(failure));

/** `run abcd2345  python-web-app  main  1a2b3c4d Fix the parser  (5 stages)` */
function headline(run: RunView, paint: Colors): string {
  const branch = run.branch === null ? '' : `  ${printable(run.branch)}`;
  const title = run.title === '' ? '' : ` ${shorten(printable(run.title), 60)}`;
  const commit = paint.dim(`${run.commit.slice(0, 8)}${title}`);
  return `run ${paint.bold(shortRunId(run.run))}  ${printable(run.project)}${branch}  ${commit}  (${count(run.stages.length, 'stage')})`;
}
