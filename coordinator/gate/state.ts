/**
 * Everything that is known about the gates from the journal. `applyGate` alone changes it; everybody else reads.
 *
 *                 GateMerged          GateRunStarted           GateRunEnded             GatePushBegan
 *   entry: queued ─────────► built ─────────────────► testing ─────────────► green ───────────────────► pushing
 *            │ ▲               ▲  GateRunEnded (ours)   │  │                  ▲                             │  │
 *            │ │               └────────────────────────┘  └──► red           └──────── GatePushFailed ─────┘  │
 *            │ └── GateRebuilt: from each of them, when what it was merged onto is no longer what it would be    │
 *            ├──► conflicted ─┐                                                                      GateLanded ▼
 *            └──► contained ──┴─► GateEjected or GateAlreadyLanded once its base is the target                (gone)
 *
 * `red`, `conflicted` and `contained` say something about a base. Only once that base is the target's tip they say it
 * about the target, and the entry leaves.
 */
import type { Ejection } from '../../shared/model/ejection.js';
import type {
  Candidate,
  GateEntryId,
  GatePause,
  GateSource,
  MergeMethod,
  RunVerdict,
} from '../../shared/model/gate.js';
import type { Brand, CommitId, ProjectId, RunId } from '../../shared/model/ids.js';

export interface Fault {
  readonly run: RunId;
  readonly reason: string;
}

export type EntryPhase =
  | { readonly kind: 'queued' }
  | { readonly kind: 'conflicted'; readonly base: CommitId; readonly files: readonly string[] }
  | { readonly kind: 'contained'; readonly base: CommitId }
  /** `run` is to test it. `faults`: runs of this candidate that failed by our fault since the gate last resumed. */
  | {
      readonly kind: 'built';
      readonly candidate: Candidate;
      readonly run: RunId;
      readonly since: number;
      readonly faults: readonly Fault[];
    }
  | {
      readonly kind: 'testing';
      readonly candidate: Candidate;
      readonly run: RunId;
      /** Wall time; the hang limit counts from here. */
      readonly since: number;
      readonly faults: readonly Fault[];
    }
  | { readonly kind: 'green'; readonly candidate: Candidate; readonly run: RunId }
  | {
      readonly kind: 'red';
      readonly candidate: Candidate;
      readonly run: RunId;
      readonly verdict: Extract<RunVerdict, { readonly kind: 'red' | 'canceled' }>;
    }
  /** A push may have been made. Only an answer that is certain, or a fetch, ends this. */
  | { readonly kind: 'pushing'; readonly candidate: Candidate; readonly run: RunId };

/** What is true of an entry from its first to its last day. */
export interface EntryFacts {
  readonly entry: GateEntryId;
  readonly commit: CommitId;
  readonly source: GateSource;
  readonly method: MergeMethod;
  readonly title: string;
  readonly author: string | undefined;
  readonly by: string;
  readonly queuedAt: number;
}

export interface GateEntry extends EntryFacts {
  phase: EntryPhase;
  /** How often its candidate was thrown away. */
  rebuilds: number;
  /** It leaves as soon as its push turns out not to have landed. */
  leaving: Ejection | undefined;
}

export type EntryEnd =
  | { readonly kind: 'landed'; readonly commit: CommitId; readonly run: RunId }
  | { readonly kind: 'already-landed' }
  | { readonly kind: 'ejected'; readonly ejection: Ejection };

export interface EndedEntry extends EntryFacts {
  readonly rebuilds: number;
  readonly end: EntryEnd;
  readonly endedAt: number;
}

/** What people are told. Names of an entry's people and its commands are for the sender to put into words. */
export type GateNotice =
  | { readonly kind: 'ejected'; readonly entry: EndedEntry; readonly ejection: Ejection }
  | { readonly kind: 'paused'; readonly pause: GatePause }
  | {
      readonly kind: 'bypassed';
      readonly from: CommitId;
      readonly to: CommitId;
      readonly by: readonly string[];
    };

/** Something to be done that no entry waits for. It is done again until it is confirmed. */
export type Chore =
  | { readonly kind: 'cancel-run'; readonly run: RunId }
  | { readonly kind: 'delete-ref'; readonly ref: string; readonly old: CommitId }
  /** The push run of what landed: it takes over the stages of the gate's run that are equal. */
  | {
      readonly kind: 'start-push-run';
      readonly from: CommitId;
      readonly to: CommitId;
      readonly gateRun: RunId;
      readonly by: string;
    }
  | { readonly kind: 'notify'; readonly notice: GateNotice };

export interface Gate {
  readonly project: ProjectId;
  readonly target: string;
  /** The target's commit as it was last known for certain. */
  tip: CommitId | undefined;
  /** Oldest first. */
  entries: GateEntry[];
  paused: { readonly pause: GatePause; readonly at: number } | undefined;
  /** Pushes past the gate since the last landing: how many, and by whom. */
  bypasses: {
    readonly count: number;
    readonly by: readonly string[];
    /** Where the last of them found the target. */
    readonly from: CommitId | undefined;
  };
  readonly chores: Map<number, Chore>;
  /** Chores ever made: numbers the next one. */
  choresMade: number;
  /** The last ones that ended, oldest first: shown, and the same request gets the same answer. */
  ended: EndedEntry[];
}

export type GateKey = Brand<string, 'GateKey'>;

// A project's id has no `/`, so two gates never share a key.
export const gateKey = (project: ProjectId, target: string): GateKey => `${project}/${target}` as GateKey;

export interface Gates {
  readonly all: Map<GateKey, Gate>;
  /** Index: the runs that test a candidate, by id. */
  readonly runs: Map<RunId, { readonly gate: Gate; readonly entry: GateEntry }>;
  /** What the last events changed and `decideGate` has not looked at. No part of the truth. */
  readonly touched: Set<Gate>;
}

export const emptyGates = (): Gates => ({ all: new Map(), runs: new Map(), touched: new Set() });

export const findGate = (gates: Gates, at: { project: ProjectId; target: string }): Gate | undefined =>
  gates.all.get(gateKey(at.project, at.target));

export function factsOf(of: EntryFacts): EntryFacts {
  const { entry, commit, source, method, title, author, by, queuedAt } = of;
  return { entry, commit, source, method, title, author, by, queuedAt };
}

/** The commit that its merge was made onto, whatever came of it. */
export function baseOf({ phase }: GateEntry): CommitId | undefined {
  if (phase.kind === 'queued') return undefined;
  return 'candidate' in phase ? phase.candidate.base : phase.base;
}

/** The run that tests it now, or is about to. */
export const openRunOf = ({ phase }: GateEntry): RunId | undefined =>
  phase.kind === 'built' || phase.kind === 'testing' ? phase.run : undefined;

/**
 * Whether a run of the gate is still wanted. The loop refuses a `Submit` of one that is not, so that a run whose entry
 * left while it was being prepared never begins.
 */
export const isRunWanted = (gates: Gates, run: RunId): boolean => gates.runs.has(run);

/**
 * The candidate that may be in the target: the one that is being pushed, or the foremost that could be. A push of a process
 * that was killed may come after the push has been taken for failed: then its entry has landed all the same.
 */
export function candidateInQuestion(gate: Gate):
  | {
      readonly entry: GateEntry['entry'];
      readonly run: RunId;
      readonly commit: CommitId;
      readonly base: CommitId;
    }
  | undefined {
  const { entry, phase } =
    gate.entries.find((other) => other.phase.kind === 'pushing') ?? gate.entries[0] ?? {};
  if (entry === undefined || (phase?.kind !== 'pushing' && phase?.kind !== 'green')) return undefined;
  const { candidate, run } = phase;
  return { entry, run, commit: candidate.commit, base: candidate.base };
}

/** Whether its push is made, should the target say that it has not landed. */
export const mayPush = ({ paused }: Gate, { leaving }: GateEntry): boolean =>
  paused === undefined && leaving === undefined;

/** Whether a landing push is still wanted: whoever makes it asks again right before it. */
export function isPushWanted(
  gates: Gates,
  at: { project: ProjectId; target: string; commit: CommitId },
): boolean {
  const gate = findGate(gates, at);
  const isFor = ({ phase }: GateEntry): boolean =>
    phase.kind === 'pushing' && phase.candidate.commit === at.commit;
  return gate?.entries.some((entry) => isFor(entry) && mayPush(gate, entry)) === true;
}

/** The project is gone, and its queues with it; runs that test their entries go on to their end. */
export function forgetGatesOf(gates: Gates, project: ProjectId): void {
  for (const [key, gate] of gates.all) {
    if (gate.project !== project) continue;
    gates.all.delete(key);
    gates.touched.delete(gate);
    for (const [run, at] of gates.runs) if (at.gate === gate) gates.runs.delete(run);
  }
}

/** A project's settings changed: its gates are looked at again. */
export function touchGatesOf(gates: Gates, project: ProjectId): void {
  for (const gate of gates.all.values()) if (gate.project === project) gates.touched.add(gate);
}
