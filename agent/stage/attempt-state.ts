/**
 * What an agent knows of an attempt after it was killed: the lines of the attempt's record, folded.
 *
 *     accepted ─► preparing ─► ready ─► (begun ─► ended)* ─► outcome ─► manifest ─► AttemptFinished ─► acknowledged
 *                    ▲ without `ready` it starts over
 */
import type { Assignment } from '../../shared/model/agent.js';
import type { LogDigest, Report } from '../../shared/model/event.js';
import type { Failure } from '../../shared/model/failure.js';
import type { PlannedService } from '../../shared/model/pipeline.js';
import type { StepHandle, StepResult } from '../executor/executor.js';
import type { StopReason } from './stop.js';

/** A report as it is kept until acknowledged: `at` is when it happened, wall time in ms. */
export interface NumberedReport {
  readonly n: number;
  readonly at: number;
  readonly report: Report;
}

export type Outcome = Pick<Extract<Report, { kind: 'AttemptFinished' }>, 'status' | 'failure'>;

/** One line of a record. */
export type RecordLine =
  | { readonly kind: 'accepted'; readonly v: 1; readonly at: number; readonly assignment: Assignment }
  /** A slot is made anew from here on; what was in a former one counts no more. */
  | { readonly kind: 'preparing' }
  /** The box runs and the workspace is filled: from here on the box is adopted, not made anew. */
  | { readonly kind: 'ready'; readonly image?: string; readonly services: readonly PlannedService[] }
  /** Written before the step starts. */
  | { readonly kind: 'begun'; readonly step: number; readonly at: number; readonly handle: StepHandle }
  | {
      readonly kind: 'ended';
      readonly step: number;
      readonly result: StepResult;
      readonly durationMs: number;
      readonly failure?: Failure;
    }
  /** Bytes of a step's log that the coordinator has. */
  | { readonly kind: 'log'; readonly step: number; readonly acknowledged: number }
  | { readonly kind: 'shipped'; readonly digest: LogDigest }
  /** A cancel or time-out that has not led to the end yet. */
  | { readonly kind: 'stopping'; readonly reason: StopReason }
  | ({ readonly kind: 'outcome' } & Outcome)
  | ({ readonly kind: 'report' } & NumberedReport)
  | { readonly kind: 'acknowledged'; readonly n: number };

export interface StepState {
  readonly begunAt: number;
  readonly handle: StepHandle;
  readonly ended?: Extract<RecordLine, { kind: 'ended' }>;
}

export interface AttemptState {
  readonly assignment: Assignment;
  readonly acceptedAt: number;
  /** Whether there may be a slot directory. */
  readonly slot: boolean;
  readonly ready: Extract<RecordLine, { kind: 'ready' }> | undefined;
  readonly steps: ReadonlyMap<number, StepState>;
  readonly logs: ReadonlyMap<number, { readonly acknowledged: number; readonly shipped?: LogDigest }>;
  readonly stopping: StopReason | undefined;
  readonly outcome: Outcome | undefined;
  /** All reports, acknowledged or not, in order. An attempt has a few for each step. */
  readonly reports: readonly NumberedReport[];
  readonly acknowledged: number;
}

/** Undefined when the first line is not the assignment: nothing was accepted then. */
export function foldRecord(lines: readonly RecordLine[]): AttemptState | undefined {
  const [first, ...rest] = lines;
  if (first?.kind !== 'accepted') return undefined;
  let state: AttemptState = {
    assignment: first.assignment,
    acceptedAt: first.at,
    slot: false,
    ready: undefined,
    steps: new Map(),
    logs: new Map(),
    stopping: undefined,
    outcome: undefined,
    reports: [],
    acknowledged: 0,
  };
  for (const line of rest) state = applyLine(state, line);
  return state;
}

export function applyLine(state: AttemptState, line: RecordLine): AttemptState {
  switch (line.kind) {
    case 'accepted':
      return state;
    case 'preparing':
      return { ...state, slot: true, ready: undefined, steps: new Map(), logs: new Map() };
    case 'ready':
      return { ...state, ready: line };
    case 'begun':
      return {
        ...state,
        steps: new Map(state.steps).set(line.step, { begunAt: line.at, handle: line.handle }),
      };
    case 'ended': {
      const begun = state.steps.get(line.step);
      if (begun === undefined) return state;
      return { ...state, steps: new Map(state.steps).set(line.step, { ...begun, ended: line }) };
    }
    case 'log': {
      const log = state.logs.get(line.step);
      return {
        ...state,
        logs: new Map(state.logs).set(line.step, { ...log, acknowledged: line.acknowledged }),
      };
    }
    case 'shipped': {
      const { step, bytes } = line.digest;
      return { ...state, logs: new Map(state.logs).set(step, { acknowledged: bytes, shipped: line.digest }) };
    }
    case 'stopping':
      return { ...state, stopping: line.reason };
    case 'outcome':
      return {
        ...state,
        outcome: { status: line.status, ...(line.failure === undefined ? {} : { failure: line.failure }) },
      };
    case 'report':
      return {
        ...state,
        reports: [...state.reports, { n: line.n, at: line.at, report: line.report }],
      };
    case 'acknowledged':
      return { ...state, acknowledged: Math.max(state.acknowledged, line.n) };
  }
}

export const finishedReport = (state: AttemptState): NumberedReport | undefined =>
  state.reports.find((each) => each.report.kind === 'AttemptFinished');
