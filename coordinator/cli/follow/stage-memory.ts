import type { StageStatus, StepView } from '../../../shared/model/run.js';

/** What a printer has said about a stage. */
export interface StageMemory {
  readonly title: string;
  status: StageStatus;
  waitingFor: string;
  /** Of the latest attempt that is known. */
  attempt: number;
  /** Whether that it runs was said. */
  started: boolean;
  startedAt: number;
  /** Whether how it ended was said. */
  attemptEnded: boolean;
  /** Why the attempt failed, as it was said: the stage's end need not repeat it. */
  attemptReason: string;
  readonly steps: Map<number, StepView['status']>;
  stepCount: number;
  activity: string;
  activityFraction: number;
  /** When the last line about the stage was printed, ms. */
  saidAt: number;
}

export const newStageMemory = (title: string, stepCount: number): StageMemory => ({
  title,
  status: 'pending',
  waitingFor: '',
  attempt: 0,
  started: false,
  startedAt: Number.NaN,
  attemptEnded: false,
  attemptReason: '',
  steps: new Map(),
  stepCount,
  activity: '',
  activityFraction: 0,
  saidAt: Number.NaN,
});

/** A newer attempt begins with nothing said. */
export function beginAttempt(memory: StageMemory, attempt: number): void {
  if (attempt <= memory.attempt) return;
  memory.attempt = attempt;
  memory.started = false;
  memory.attemptEnded = false;
  memory.attemptReason = '';
  memory.steps.clear();
  memory.activity = '';
}
