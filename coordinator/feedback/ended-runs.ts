import type { RunId } from '../../shared/model/ids.js';
import type { NotifyRules, RunFacts } from '../../shared/model/pipeline.js';
import type { RunView } from '../../shared/model/run.js';

export interface EndedRun {
  readonly view: RunView;
  readonly facts: RunFacts;
  readonly notify?: NotifyRules;
}

export interface LogEnd {
  readonly bytes: Uint8Array;
  /** Of the first byte in the step's log. */
  readonly offset: number;
  /** What of it cannot be had, in a sentence. */
  readonly missing?: string;
}

/** Runs as people read them, from the state or from their record. */
export interface EndedRuns {
  /** Undefined: there is no such run. Rejects when it cannot be read now. */
  find(run: RunId): Promise<EndedRun | undefined>;
  /** The last bytes of what a step of the stage's latest attempt wrote. Rejects when it cannot be read now. */
  logEnd(
    of: { readonly run: RunId; readonly stage: number; readonly step: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<LogEnd>;
}
