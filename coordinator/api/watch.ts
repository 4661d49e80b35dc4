/** Watching a run: its state, then every event as it becomes durable, with what agents say in between. */
import type { Event } from '../../shared/model/event.js';
import { describeFailure, type Failure } from '../../shared/model/failure.js';
import { stageTitle } from '../../shared/model/pipeline.js';
import type { AgentId, RunId } from '../../shared/model/ids.js';
import { isEnded, type RunView } from '../../shared/model/run.js';
import type { RunEvent } from '../history/record.js';
import { reasonSkipped } from '../scheduler/reasons.js';
import { findStage } from '../scheduler/state.js';
import { runView } from '../scheduler/views.js';
import { ApiError } from './api-error.js';
import { eventsOf, findRun } from './run-lookup.js';
import type { Services } from './services.js';

export type Change =
  | { readonly kind: 'state'; readonly view: RunView }
  | { readonly kind: 'run'; readonly status: string }
  | {
      readonly kind: 'stage';
      readonly stage: number;
      readonly title: string;
      readonly status: string;
      readonly failure?: Failure;
      readonly whySkipped?: string;
    }
  | {
      readonly kind: 'attempt';
      readonly stage: number;
      readonly title: string;
      readonly attempt: number;
      readonly status: string;
      readonly agentName: string;
      readonly reason: string;
      readonly failure?: Failure;
    }
  | {
      readonly kind: 'step';
      readonly stage: number;
      readonly title: string;
      readonly attempt: number;
      readonly step: number;
      readonly name: string;
      readonly status: 'running' | 'succeeded' | 'failed';
      readonly exitCode?: number;
      readonly durationMs: number;
      readonly failure?: Failure;
    }
  | { readonly kind: 'image'; readonly image: string; readonly digest: string }
  | {
      readonly kind: 'progress';
      readonly stage: number;
      readonly title: string;
      readonly activity: string;
      readonly fraction?: number;
    };

export interface Watched {
  /** 0 for progress, which is not in the journal. */
  readonly sequence: number;
  readonly at: number;
  readonly change: Change;
}

/** What may wait for a slow watcher before it is cut off; it resumes from the last sequence it saw. */
const maxQueued = 10_000;

/**
 * The state as it is now, then what comes; ends after the run's end. `after` > 0: instead of the state, every event
 * with a greater sequence, recorded or live.
 */
export async function* watchRun(
  services: Services,
  run: RunId,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<Watched> {
  /** What is there at the start; then what comes, which the queue holds for a reader that is slower. */
  const first: Watched[] = [];
  let queue: Watched[] = [];
  const late = { isTooSlow: false };
  let wake: () => void = () => undefined;
  const stops: (() => void)[] = [];
  const stop = (): void => {
    for (const one of stops.splice(0)) one();
  };
  const push = (watched: Watched): void => {
    if (queue.length >= maxQueued) {
      late.isTooSlow = true;
      queue = [];
      stop();
    } else queue.push(watched);
    wake();
  };
  const names = new Names((agent) => services.events.agentName(agent));
  // State and listeners in one look: no event can fall between them.
  const live = await services.coordinator.read(({ state, presence, now, sequence }) => {
    const found = state.runs.get(run);
    if (found === undefined) return undefined;
    const view = runView(state, presence, found, now);
    names.learn(view);
    const past = after > 0 ? services.events.of(run).filter((event) => event.sequence > after) : [];
    if (after === 0) first.push({ sequence, at: now.wallMs, change: { kind: 'state', view } });
    for (const event of past) first.push(...names.changes(event));
    stops.push(
      services.events.listen(run, (event) => {
        for (const watched of names.changes(event)) push(watched);
      }),
      services.progress.listen(run, (note) =>
        push({
          sequence: 0,
          at: note.at,
          change: {
            kind: 'progress',
            stage: note.ref.stage,
            title: names.title(note.ref.stage),
            activity: note.activity,
            ...(note.fraction === undefined ? {} : { fraction: note.fraction }),
          },
        }),
      ),
    );
    return view;
  });
  try {
    if (live === undefined) {
      yield* recorded(services, run, after);
      return;
    }
    for (const watched of first) yield explained(watched, await whySkipped(services, run, watched));
    if (isEnded(live.status)) return;
    signal.addEventListener('abort', () => wake(), { once: true });
    while (!signal.aborted) {
      for (let watched = queue.shift(); watched !== undefined; watched = queue.shift()) {
        yield explained(watched, await whySkipped(services, run, watched));
        if (watched.change.kind === 'run' && watched.change.status !== 'running') return;
      }
      if (late.isTooSlow) {
        throw new ApiError('unavailable', 'this watcher is too slow: watch again from the last sequence');
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (queue.length > 0 || late.isTooSlow || signal.aborted) resolve();
      });
    }
  } finally {
    stop();
  }
}

async function* recorded(services: Services, run: RunId, after: number): AsyncGenerator<Watched> {
  const found = await findRun(services, run);
  const names = new Names((agent) => services.events.agentName(agent));
  names.learn(found.view);
  if (after === 0) {
    yield {
      sequence: found.record?.events.at(-1)?.sequence ?? found.sequence,
      at: Date.parse(found.view.finishedAt ?? found.view.submittedAt),
      change: { kind: 'state', view: found.view },
    };
    return;
  }
  for (const event of eventsOf(services, found)) {
    if (event.sequence <= after) continue;
    for (const watched of names.changes(event)) {
      const stage = found.view.stages.find(({ number }) => number === skippedBy(watched));
      yield explained(watched, stage?.whySkipped ?? undefined);
    }
  }
}

/** The number of the stage that was skipped, if that is what happened. */
const skippedBy = ({ change }: Watched): number | undefined =>
  change.kind === 'stage' && change.status === 'skipped' ? change.stage : undefined;

/** The state says it, and its event does not. */
async function whySkipped(services: Services, run: RunId, watched: Watched): Promise<string | undefined> {
  const number = skippedBy(watched);
  if (number === undefined) return undefined;
  const live = await services.coordinator.read(({ state }) => {
    const stage = findStage(state, run, number);
    return stage === undefined ? undefined : { why: reasonSkipped(stage) };
  });
  if (live !== undefined) return live.why;
  // It has left the state while it waited to be read.
  const { view } = await findRun(services, run);
  return view.stages.find((stage) => stage.number === number)?.whySkipped ?? undefined;
}

function explained(watched: Watched, why: string | undefined): Watched {
  const { change } = watched;
  if (why === undefined || change.kind !== 'stage') return watched;
  return { ...watched, change: { ...change, whySkipped: why } };
}

/** Turns events into changes; events carry numbers, people read names. */
class Names {
  readonly #titles = new Map<number, string>();
  readonly #steps = new Map<string, string>();
  readonly #agents = new Map<string, string>();
  readonly #agentName: (agent: AgentId) => string;
  readonly #images = new Set<string>();
  #running = false;

  constructor(agentName: (agent: AgentId) => string) {
    this.#agentName = agentName;
  }

  learn(view: RunView): void {
    this.#running = view.status === 'running';
    for (const stage of view.stages) {
      this.#titles.set(stage.number, stage.title);
      for (const step of stage.steps) this.#steps.set(`${stage.number}/${step.number}`, step.name);
      for (const attempt of stage.attempts) {
        this.#agents.set(`${stage.number}/${attempt.attempt}`, attempt.agentName);
      }
    }
  }

  title(stage: number): string {
    return this.#titles.get(stage) ?? `stage ${stage}`;
  }

  changes({ sequence, at, event }: RunEvent): readonly Watched[] {
    return this.#changesOf(event).map((change) => ({ sequence, at, change }));
  }

  #changesOf(event: Event): readonly Change[] {
    switch (event.kind) {
      case 'RunAccepted':
        for (const stage of event.stages) {
          this.#titles.set(stage.number, stageTitle(stage));
          stage.steps.forEach((name, index) => this.#steps.set(`${stage.number}/${index + 1}`, name));
        }
        return [];
      case 'StageLeased':
        this.#agents.set(`${event.stage}/${event.attempt}`, this.#agentName(event.agent));
        return [this.#attempt(event, 'leased', '')];
      case 'LeaseReturned':
        return [
          {
            kind: 'progress',
            stage: event.stage,
            title: this.title(event.stage),
            activity: `${this.#agents.get(`${event.stage}/${event.attempt}`) ?? 'the agent'} did not take it: ${event.reason}`,
          },
        ];
      case 'AttemptLost':
        return [this.#attempt(event, 'lost', describeFailure(event.failure), event.failure)];
      case 'AttemptReported':
        return this.#reported(event);
      case 'StageEnded':
        return [
          {
            kind: 'stage',
            stage: event.stage,
            title: this.title(event.stage),
            status: event.status,
            ...(event.failure === undefined ? {} : { failure: event.failure }),
          },
        ];
      case 'RunEnded':
        return [{ kind: 'run', status: event.status }];
      default:
        return [];
    }
  }

  #reported(event: Extract<Event, { kind: 'AttemptReported' }>): readonly Change[] {
    const { report, stage, attempt } = event;
    const place = { stage, title: this.title(stage), attempt };
    switch (report.kind) {
      case 'AttemptStarted': {
        const running: Change[] = this.#running ? [] : [{ kind: 'run', status: 'running' }];
        this.#running = true;
        return [...running, this.#attempt(event, 'running', report.note ?? '')];
      }
      case 'ImageResolved':
        // The first that resolves it pins it; stages that run at once each say so.
        if (this.#images.has(report.image)) return [];
        this.#images.add(report.image);
        return [{ kind: 'image', image: report.image, digest: report.digest }];
      case 'StepStarted':
        return [
          { ...place, ...this.#step(stage, report.step), kind: 'step', status: 'running', durationMs: 0 },
        ];
      case 'StepFinished':
        return [
          {
            ...place,
            ...this.#step(stage, report.step),
            kind: 'step',
            status: report.exitCode === 0 && report.failure === undefined ? 'succeeded' : 'failed',
            durationMs: report.durationMs,
            ...(report.exitCode === undefined ? {} : { exitCode: report.exitCode }),
            ...(report.failure === undefined ? {} : { failure: report.failure }),
          },
        ];
      case 'AttemptFinished':
        return [
          this.#attempt(
            event,
            report.status,
            report.failure === undefined ? '' : describeFailure(report.failure),
            report.failure,
          ),
        ];
      case 'LogsArchived':
        return [];
    }
  }

  #step(stage: number, step: number): { readonly step: number; readonly name: string } {
    return { step, name: this.#steps.get(`${stage}/${step}`) ?? `step ${step}` };
  }

  #attempt(
    where: { readonly stage: number; readonly attempt: number },
    status: string,
    reason: string,
    failure?: Failure,
  ): Change {
    return {
      kind: 'attempt',
      stage: where.stage,
      title: this.title(where.stage),
      attempt: where.attempt,
      status,
      agentName: this.#agents.get(`${where.stage}/${where.attempt}`) ?? '',
      reason,
      ...(failure === undefined ? {} : { failure }),
    };
  }
}
