/** A gate's core with a clock and a journal of its own, for tests. */
import { expect } from 'vitest';
import { applyGate } from '../../../coordinator/gate/apply.js';
import type {
  FetchAnswer,
  GateAnswer,
  GateCommand,
  GateContext,
  GateEffect,
  MergeAnswer,
  PushAnswer,
  RunResult,
  StageResult,
} from '../../../coordinator/gate/command.js';
import { decideGate } from '../../../coordinator/gate/decide.js';
import { handleGate } from '../../../coordinator/gate/handle.js';
import { emptyGatePresence, type GatePresence } from '../../../coordinator/gate/presence.js';
import {
  candidateInQuestion,
  emptyGates,
  findGate,
  type Gate,
  type GateEntry,
  type Gates,
} from '../../../coordinator/gate/state.js';
import { gateView } from '../../../coordinator/gate/views.js';
import {
  defaultGateSettings,
  parseGateEntryId,
  type Candidate,
  type GateEntryId,
  type GateEvent,
  type GateSettings,
} from '../../../shared/model/gate.js';
import type { GateView } from '../../../shared/model/gate-view.js';
import { parseCommitId, type CommitId, type RunId } from '../../../shared/model/ids.js';
import { projectId, runId, sha } from '../scheduler/ids.js';

export { runId, sha };

export const project = projectId(1);
export const target = 'main';
export const at = { project, target };

export const commitId = (n: number): CommitId => parseCommitId(n.toString(16).padStart(40, '0'))!;
export const entryId = (n: number): GateEntryId => parseGateEntryId(runId(n))!;

/** The target's first tip, and what an entry `n` is and becomes. */
export const tip = commitId(0xa0);
export const changeOf = (n: number): CommitId => commitId(0xc00 + n);
export const mergeOf = (n: number, build = 0): CommitId => commitId(0xe000 + n * 0x100 + build);
export const runOf = (n: number, build = 0): RunId => runId(1_000 + n * 100 + build);

export const green = (...names: readonly string[]): RunResult => ({
  status: 'succeeded',
  stages: (names.length === 0 ? ['test'] : names).map((name) => stage(name)),
});

export const stage = (name: string, changes: Partial<StageResult> = {}): StageResult => ({
  name,
  title: name,
  status: 'succeeded',
  allowFailure: false,
  ...changes,
});

export const failing: RunResult = {
  status: 'failed',
  stages: [stage('test', { status: 'failed', failure: { kind: 'exit-code', step: 1, exitCode: 1 } })],
};

export const ourFault: RunResult = {
  status: 'failed',
  stages: [
    stage('test', { status: 'failed', failure: { kind: 'storage-unavailable', message: 'S3 is away' } }),
  ],
};

type RunStatus = ReturnType<GateContext['runStatus']>;

export interface Turned {
  readonly answers: readonly GateAnswer[];
  readonly events: readonly GateEvent[];
  readonly effects: readonly GateEffect[];
  /** Events that stand in one entry of the journal; a crash may come between any two. */
  readonly groups: readonly (readonly GateEvent[])[];
}

export class GateCore {
  gates: Gates = emptyGates();
  presence: GatePresence = emptyGatePresence();
  journal: { readonly at: number; readonly events: readonly GateEvent[] }[] = [];
  settings: GateSettings | undefined;
  wallMs = 1_700_000_000_000;
  monotonicMs = 1_000;
  wakeAtMs: number | undefined;
  readonly runs = new Map<RunId, RunStatus>();

  constructor(settings: Partial<GateSettings> = {}) {
    this.settings = { ...defaultGateSettings, ...settings };
  }

  get context(): GateContext {
    return {
      now: { wallMs: this.wallMs, monotonicMs: this.monotonicMs },
      settings: (id) => (id === project ? this.settings : undefined),
      runStatus: (run) => this.runs.get(run),
    };
  }

  get events(): readonly GateEvent[] {
    return this.journal.flatMap((entry) => entry.events);
  }

  get gate(): Gate {
    return findGate(this.gates, at)!;
  }

  get view(): GateView {
    return gateView(this.gate, { presence: this.presence, context: this.context });
  }

  entry(n: number): GateEntry | undefined {
    return this.gate.entries.find((entry) => entry.entry === entryId(n));
  }

  phase(n: number): string | undefined {
    return this.entry(n)?.phase.kind;
  }

  /** One turn of the loop, and those that follow at once. */
  turn(...commands: readonly GateCommand[]): Turned {
    const turned = this.tryTurn(...commands);
    this.append(turned.events);
    return turned;
  }

  /** A turn whose events are not yet in the journal. */
  tryTurn(...commands: readonly GateCommand[]): Turned {
    const { context } = this;
    const handled = commands.map((command) =>
      handleGate(this.gates, command, { presence: this.presence, context }),
    );
    const groups = handled.map((one) => one.events);
    const effects: GateEffect[] = [];
    for (let turns = 0; ; turns += 1) {
      const decision = decideGate(this.gates, this.presence, context);
      groups.push(...decision.events.map((event) => [event]));
      effects.push(...decision.effects);
      this.wakeAtMs = decision.wakeAtMs;
      if (decision.wakeAtMs === undefined || decision.wakeAtMs > this.monotonicMs) break;
      if (turns > 100) throw new Error('the gate never comes to rest');
    }
    return { answers: handled.map((one) => one.answer), events: groups.flat(), effects, groups };
  }

  append(events: readonly GateEvent[]): void {
    if (events.length > 0) this.journal.push({ at: this.wallMs, events });
  }

  /** Turns at each time that the gate asks for, until so much time has passed. */
  pass(ms: number): Turned {
    const until = this.monotonicMs + ms;
    const events: GateEvent[] = [];
    const effects: GateEffect[] = [];
    for (let turns = 0; this.monotonicMs < until; turns += 1) {
      if (turns > 10_000) throw new Error('the gate wakes without end');
      const next = Math.min(until, Math.max(this.monotonicMs + 1, this.wakeAtMs ?? until));
      this.wallMs += next - this.monotonicMs;
      this.monotonicMs = next;
      const turned = this.turn();
      events.push(...turned.events);
      effects.push(...turned.effects);
    }
    return { answers: [], events, effects, groups: [] };
  }

  /** The process is replaced: everything but the journal is lost. The replayed state must be the one that was. */
  restart(): Turned {
    const live = plain(this.gates);
    this.replay();
    expect(plain(this.gates)).toEqual(live);
    return this.turn();
  }

  replay(): void {
    this.gates = emptyGates();
    for (const entry of this.journal)
      for (const event of entry.events) applyGate(this.gates, event, entry.at);
    this.presence = emptyGatePresence();
    this.monotonicMs = 77_000;
  }

  // What a test says often.

  land(n: number, changes: Partial<Extract<GateCommand, { kind: 'Land' }>> = {}): Turned {
    return this.turn({
      kind: 'Land',
      ...at,
      entry: entryId(n),
      commit: changeOf(n),
      source: { kind: 'branch', ref: `refs/heads/change${n}` },
      title: `change ${n}`,
      by: 'ada',
      ...changes,
    });
  }

  /** The answer to the fetch that is awaited. */
  fetched(changes: Partial<Extract<FetchAnswer, { kind: 'fetched' }>> = {}): Turned {
    return this.fetchAnswered({
      kind: 'fetched',
      tip,
      isForward: true,
      containsCandidate: false,
      by: [],
      ...changes,
    });
  }

  fetchAnswered(answer: FetchAnswer): Turned {
    const candidate = candidateInQuestion(this.gate)?.commit;
    return this.turn({
      kind: 'FetchAnswered',
      ...at,
      doubt: this.presence.targets.get(this.gate)!.doubts,
      ...(this.gate.tip === undefined ? {} : { known: this.gate.tip }),
      ...(candidate === undefined ? {} : { candidate }),
      answer,
    });
  }

  mergeAnswered(n: number, base: CommitId, answer: MergeAnswer): Turned {
    return this.turn({ kind: 'MergeAnswered', ...at, entry: entryId(n), base, answer });
  }

  merged(n: number, base: CommitId = tip, build = 0): Turned {
    return this.mergeAnswered(n, base, { kind: 'merged', candidate: candidate(n, base, build) });
  }

  started(run: RunId): Turned {
    this.runs.set(run, 'running');
    return this.turn({ kind: 'RunStarted', run });
  }

  ended(run: RunId, result: RunResult, spare = runId(900_000 + this.journal.length)): Turned {
    this.runs.delete(run);
    return this.turn({ kind: 'RunEnded', run, result, spare });
  }

  pushAnswered(n: number, answer: PushAnswer, build = 0): Turned {
    return this.turn({ kind: 'PushAnswered', ...at, entry: entryId(n), commit: mergeOf(n, build), answer });
  }

  /** From the queue to a green run. */
  test(n: number, base: CommitId = tip, build = 0): Turned {
    this.merged(n, base, build);
    this.started(runOf(n, build));
    return this.ended(runOf(n, build), green());
  }
}

export const candidate = (n: number, base: CommitId, build = 0): Candidate => ({
  commit: mergeOf(n, build),
  base,
  run: runOf(n, build),
  bundle: { digest: sha(n), bytes: 1_000, shallow: [] },
});

/** With entries 1 to `n` queued, and the target looked at. */
export function queueOf(n: number, settings: Partial<GateSettings> = {}): GateCore {
  const core = new GateCore(settings);
  for (let index = 1; index <= n; index += 1) core.land(index);
  core.fetched();
  return core;
}

export const kinds = (events: readonly GateEvent[]): readonly string[] => events.map(({ kind }) => kind);
export const effectKinds = (effects: readonly GateEffect[]): readonly string[] =>
  effects.map((effect) => (effect.kind === 'DoChore' ? effect.what.kind : effect.kind));

export const ofKind = <K extends GateEffect['kind']>(
  effects: readonly GateEffect[],
  kind: K,
): readonly Extract<GateEffect, { kind: K }>[] =>
  effects.filter((effect): effect is Extract<GateEffect, { kind: K }> => effect.kind === kind);

/** The state without what only says where to look. */
export const plain = ({ all, runs }: Gates): unknown => ({
  all: [...all].map(([key, gate]) => [key, { ...gate, chores: [...gate.chores] }]),
  runs: [...runs].map(([run, { entry }]) => [run, entry.entry]).toSorted(),
});
