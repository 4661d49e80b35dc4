/** Leases and what agents report of them, as `apply` puts it into the state. */
import type { Event } from '../../shared/model/event.js';
import type { StepState, AttemptState, State } from './state.js';
import { verdictOn } from './retry.js';

/** The stage leaves the waiting ones; the lease fills one of the agent's slots and counts for its project. */
export function startLease(state: State, attempt: AttemptState, since: number): void {
  const { stage } = attempt;
  state.waiting.delete(stage);
  stage.phase = { kind: 'leased', attempt, since };
  state.agents.get(attempt.agent)?.leases.add(attempt);
  changeShare(state, attempt, 1);
}

export function endLease(state: State, attempt: AttemptState): void {
  state.agents.get(attempt.agent)?.leases.delete(attempt);
  changeShare(state, attempt, -1);
}

function changeShare(state: State, { stage, agent }: AttemptState, by: number): void {
  const { project } = stage.run.facts;
  const share = (state.shares.get(project) ?? 0) + by;
  if (share > 0) state.shares.set(project, share);
  else state.shares.delete(project);
  state.touched.stages.add(stage);
  state.touched.agents.add(agent);
}

export function applyReport(
  state: State,
  attempt: AttemptState,
  event: Extract<Event, { kind: 'AttemptReported' }>,
): void {
  const { report, at } = event;
  attempt.reports = event.n;
  if (attempt.phase.kind === 'lost') revive(state, attempt, at);
  switch (report.kind) {
    case 'AttemptStarted':
      attempt.startedAt = at;
      attempt.executor = report.executor;
      attempt.note = report.note;
      attempt.phase = { kind: 'running' };
      attempt.stage.run.startedAt ??= at;
      state.touched.stages.add(attempt.stage);
      break;
    case 'ImageResolved': {
      const { images } = attempt.stage.run;
      const { image, digest, built } = report;
      if (built === true || !images.has(image)) images.set(image, digest);
      if (built === true) {
        const others = (attempt.images ?? []).filter((other) => other.image !== image);
        attempt.images = [...others, { image, digest }];
      }
      break;
    }
    case 'StepStarted':
      attempt.steps.push({ number: report.step, shell: report.shell, startedAt: at });
      break;
    case 'StepFinished': {
      const place = attempt.steps.findLastIndex((step) => step.number === report.step);
      const started = attempt.steps[place] ?? {
        number: report.step,
        shell: '',
        startedAt: at - report.durationMs,
      };
      const { exitCode, failure, incomplete, durationMs } = report;
      const step: StepState = {
        ...started,
        finished: {
          at,
          durationMs,
          ...(exitCode === undefined ? {} : { exitCode }),
          ...(failure === undefined ? {} : { failure }),
          ...(incomplete === undefined ? {} : { incomplete }),
        },
      };
      attempt.steps.splice(place < 0 ? attempt.steps.length : place, 1, step);
      break;
    }
    case 'AttemptFinished': {
      const { status, failure, manifest, logs } = report;
      endLease(state, attempt);
      attempt.phase = {
        kind: 'finished',
        at,
        status,
        ...(failure === undefined ? {} : { failure }),
        ...(manifest === undefined ? {} : { manifest }),
        logs,
        archived: false,
      };
      settle(state, attempt, at);
      break;
    }
    case 'LogsArchived':
      if (attempt.phase.kind === 'finished') attempt.phase = { ...attempt.phase, archived: true };
      break;
  }
}

/** The agent of a lost attempt is back and goes on, and no newer attempt was leased: the lease is its again. */
function revive(state: State, attempt: AttemptState, at: number): void {
  attempt.phase = { kind: attempt.startedAt === undefined ? 'leased' : 'running' };
  startLease(state, attempt, at);
}

/** The attempt has ended: its stage waits for the next one, or for `decide` to end it. */
export function settle(state: State, attempt: AttemptState, at: number): void {
  const { stage } = attempt;
  if (verdictOn(attempt).kind === 'retry') {
    stage.phase = { kind: 'waiting', since: at };
    state.waiting.add(stage);
  } else stage.phase = { kind: 'settling', attempt };
}
