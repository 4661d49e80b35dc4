/**
 * A gate with everything around it: people who push and land, a server, agents, and a machine that crashes. What
 * happens next is drawn from a seed; what must hold is asserted at every landing and ejection.
 */
import { expect } from 'vitest';
import type { GateCommand, GateEffect, RunResult } from '../../../coordinator/gate/command.js';
import { isVerified, presenceOf } from '../../../coordinator/gate/presence.js';
import { isPushWanted, isRunWanted } from '../../../coordinator/gate/state.js';
import type { GateEntryId, GateEvent, MergeMethod } from '../../../shared/model/gate.js';
import type { CommitId, RunId } from '../../../shared/model/ids.js';
import { GateCore, at, entryId, failing, green, ourFault, plain, project, runId } from './core.js';
import { FakeGit, type Tree } from './fake-git.js';

export interface ChangePlan {
  /** Breaks whatever contains it. */
  readonly isBroken: boolean;
  /** Breaks together with the change of this number, if there is one. */
  readonly enemy: number;
  /** Which file it writes; changes that write the same one conflict. */
  readonly file: number;
  /** Made from the tip, or on top of the change before it. */
  readonly isStacked: boolean;
  readonly method: MergeMethod;
}

export interface WorldPlan {
  readonly seed: number;
  readonly depth: number;
  readonly changes: readonly ChangePlan[];
  /** Files that pushes past the gate write; one may break the target until the next. */
  readonly bypasses: readonly { readonly file: number; readonly isBroken: boolean }[];
  readonly ticks: number;
  readonly crashes: boolean;
}

/** xorshift: the same seed is the same story. */
function dice(seed: number): (sides: number) => number {
  let state = seed | 0 || 1;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

type RunState = { readonly commit: CommitId; readonly isHung: boolean; result: RunResult | undefined };

export class World {
  readonly git = new FakeGit();
  readonly core: GateCore;
  readonly landed: GateEntryId[] = [];
  readonly queued: GateEntryId[] = [];
  readonly ended = new Map<GateEntryId, string>();
  readonly commits = new Map<GateEntryId, CommitId>();
  /** Every candidate that was accepted, of which entry. */
  readonly candidates = new Map<CommitId, GateEntryId>();
  readonly #plan: WorldPlan;
  readonly #roll: (sides: number) => number;
  readonly #runs = new Map<RunId, RunState>();
  /** Effects that are not performed yet, and their outcomes on the way back. */
  #effects: GateEffect[] = [];
  #answers: GateCommand[] = [];
  #arrived = 0;
  bypassed = 0;
  #ids = 0;
  #isChaos = true;
  /** Ejected because their runs took too long. */
  readonly hung = new Set<GateEntryId>();
  /** Landed by a push of a killed process that had been taken for failed: nobody can recall it (coordinator/gate/README.md). */
  readonly late = new Set<GateEntryId>();
  readonly notices: string[] = [];
  readonly pushRuns = new Set<string>();

  constructor(plan: WorldPlan) {
    this.#plan = plan;
    this.#roll = dice(plan.seed);
    this.core = new GateCore({ depth: plan.depth, retries: 1, hangLimitMs: 600_000 });
  }

  /** Everything happens, in any order. */
  run(): void {
    for (let tick = 0; tick < this.#plan.ticks; tick += 1) this.#tick();
    while (this.#arrived < this.#plan.changes.length) this.#arrive();
    this.#isChaos = false;
    this.#settle();
  }

  /** From now on nothing goes wrong; everything must come to an end. */
  #settle(): void {
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > 2_000) throw new Error(`never at rest: ${JSON.stringify(this.core.view, null, 1)}`);
      while (this.#effects.length + this.#answers.length > 0) this.#work();
      for (const run of this.#runs.keys()) this.#endRun(run);
      this.#poll();
      if (this.core.gate.paused !== undefined) this.#turn({ kind: 'Resume', ...at, by: 'grace' });
      const isQuiet = this.#effects.length + this.#answers.length === 0;
      const { entries, chores } = this.core.gate;
      const isSeen = isVerified(presenceOf(this.core.presence, this.core.gate));
      if (isQuiet && isSeen && entries.length + chores.size === 0) return;
      this.#pass(isQuiet ? 60_000 : 1_000);
    }
  }

  #tick(): void {
    const what = this.#roll(100);
    if (what < 10) this.#arrive();
    else if (what < 13) this.#bypass();
    else if (what < 16) this.#poll();
    else if (what < 19) this.#crash();
    else if (what < 20) this.#eject();
    else if (what < 22) this.#moveBranch();
    else if (what < 23) this.#turn({ kind: 'Pause', ...at, by: 'grace' });
    else if (what < 26) this.#turn({ kind: 'Resume', ...at, by: 'grace' });
    else if (what < 36) this.#endSomeRun();
    else if (what < 42) this.#pass([100, 2_000, 30_000, 700_000][this.#roll(4)]!);
    else this.#work();
  }

  #turn(...commands: readonly GateCommand[]): void {
    const isLost = this.#isChaos && this.#plan.crashes && this.#roll(60) === 0;
    const turned = this.core.tryTurn(...commands);
    if (isLost) {
      // The journal took some of it, or nothing, and nothing was performed.
      const taken = turned.groups.slice(0, this.#roll(turned.groups.length + 1)).flat();
      this.core.append(taken);
      this.core.replay();
      // What must hold is looked at with the state that these events left.
      for (const event of taken) this.#check(event);
      this.#restart();
      return;
    }
    this.core.append(turned.events);
    for (const event of turned.events) this.#check(event);
    this.#effects.push(...turned.effects);
  }

  #pass(ms: number): void {
    this.core.wallMs += ms;
    this.core.monotonicMs += ms;
    this.#turn();
  }

  /** One effect, or one outcome: in any order, sometimes twice. */
  #work(): void {
    if (this.#answers.length > 0 && this.#roll(2) === 0) {
      const [command] = this.#answers.splice(this.#roll(this.#answers.length), 1);
      this.#turn(command!);
      return;
    }
    const index = this.#roll(Math.max(1, this.#effects.length));
    const effect = this.#effects[index];
    if (effect === undefined) return;
    if (!this.#isChaos || this.#roll(10) > 0) this.#effects.splice(index, 1);
    this.#perform(effect);
  }

  /** `isKilled`: the process is, and what it began goes on without it. */
  #perform(effect: GateEffect, { isKilled } = { isKilled: false }): void {
    const answer = (command: GateCommand): unknown => this.#answers.push(command);
    const hasTrouble = this.#isChaos && this.#roll(12) === 0;
    switch (effect.kind) {
      case 'Merge': {
        const { entry, base, of } = effect;
        const made = hasTrouble
          ? ({ kind: 'unavailable', message: 'no disk' } as const)
          : this.git.merge(base, of.commit, { method: of.method, run: this.#newRun() });
        answer({ kind: 'MergeAnswered', ...at, entry, base, answer: made });
        return;
      }
      case 'StartRun':
        this.#startRun(effect);
        return;
      case 'Push': {
        const { entry, commit, expected } = effect;
        const isWanted = isKilled || isPushWanted(this.core.gates, { ...at, commit });
        const isDone = isWanted && (!hasTrouble || this.#roll(2) === 0);
        const pushed = isDone ? this.git.push(commit, expected) : undefined;
        const isPushing = this.core.gate.entries.some(
          ({ phase }) => phase.kind === 'pushing' && phase.candidate.commit === commit,
        );
        if (isKilled && !isPushing && pushed?.kind === 'landed') this.late.add(entry);
        const told =
          hasTrouble || pushed === undefined ? ({ kind: 'unknown', message: 'broken' } as const) : pushed;
        answer({ kind: 'PushAnswered', ...at, entry, commit, answer: told });
        return;
      }
      case 'FetchToVerify': {
        const { kind: _, ...asked } = effect;
        const fetched = hasTrouble
          ? ({ kind: 'unavailable', message: 'no route' } as const)
          : this.git.fetch(effect.known, effect.candidate);
        answer({ ...asked, kind: 'FetchAnswered', answer: fetched });
        return;
      }
      case 'DoChore': {
        const { chore, what } = effect;
        if (what.kind === 'cancel-run') this.#endRun(what.run, { status: 'canceled', stages: [] });
        if (what.kind === 'notify') this.notices.push(what.notice.kind);
        if (what.kind === 'start-push-run') this.pushRuns.add(what.to);
        answer({ kind: 'ChoreDone', ...at, chore });
        return;
      }
    }
  }

  #startRun({ run, candidate }: Extract<GateEffect, { kind: 'StartRun' }>): void {
    const known = this.#runs.get(run);
    if (known === undefined) {
      if (!isRunWanted(this.core.gates, run)) return;
      const isHung = this.#isChaos && this.#roll(40) === 0;
      this.#runs.set(run, { commit: candidate.commit, isHung, result: undefined });
      this.core.runs.set(run, this.#roll(10) === 0 && this.#isChaos ? 'waiting' : 'running');
    }
    this.#answers.push(
      known?.result === undefined
        ? { kind: 'RunStarted', run }
        : { kind: 'RunEnded', run, result: known.result, spare: this.#newRun() },
    );
  }

  #endSomeRun(): void {
    const open = [...this.#runs].filter(([, { result }]) => result === undefined);
    const [run, state] = open[this.#roll(Math.max(1, open.length))] ?? [];
    if (run !== undefined && state?.isHung === false) this.#endRun(run);
  }

  #endRun(run: RunId, result?: RunResult): void {
    const state = this.#runs.get(run);
    if (state === undefined || state.result !== undefined) return;
    const isOurs = this.#isChaos && this.#roll(8) === 0;
    const own = isOurs ? ourFault : this.isGreen(this.git.get(state.commit).tree) ? green() : failing;
    state.result = result ?? own;
    this.core.runs.delete(run);
    this.#answers.push({ kind: 'RunEnded', run, result: state.result, spare: this.#newRun() });
  }

  #newRun(): RunId {
    this.#ids += 1;
    return runId(this.#ids);
  }

  /** Contents are what breaks: `x<n>` is broken change n, `c<n>` a good one. */
  isGreen(tree: Tree): boolean {
    const contents = new Set(tree.values());
    if ([...contents].some((content) => content.startsWith('x'))) return false;
    return this.#plan.changes.every(
      ({ enemy }, n) => enemy === n || !contents.has(`c${n}`) || !contents.has(`c${enemy}`),
    );
  }

  #arrive(): void {
    const n = this.#arrived;
    const change = this.#plan.changes[n];
    if (change === undefined) return;
    this.#arrived += 1;
    const before = this.commits.get(entryId(n));
    const parent = change.isStacked && before !== undefined ? before : this.git.tip;
    const tree = new Map(this.git.get(parent).tree);
    tree.set(`f${change.file}`, `${change.isBroken ? 'x' : 'c'}${n}`);
    const commit = this.git.commit([parent], tree, 'author');
    const entry = entryId(n + 1);
    this.commits.set(entry, commit);
    const land: GateCommand = {
      kind: 'Land',
      ...at,
      entry,
      commit,
      source: { kind: n % 3 === 0 ? 'proposal' : 'branch', ref: `refs/heads/change${n}` },
      method: change.method,
      title: `change ${n}`,
      by: 'ada',
    };
    // Who got no answer asks again, and sometimes who got one.
    while (!this.queued.includes(entry) || this.#roll(3) === 0) this.#turn(land);
  }

  #bypass(): void {
    const bypass = this.#plan.bypasses[this.bypassed];
    if (bypass === undefined) return;
    this.bypassed += 1;
    const tree = new Map(this.git.get(this.git.tip).tree);
    tree.set(`f${bypass.file}`, `${bypass.isBroken ? 'x' : 'b'}${900 + this.bypassed}`);
    this.git.tip = this.git.commit([this.git.tip], tree, 'mallory');
  }

  #poll(): void {
    this.#turn({ kind: 'TargetSeen', ...at, tip: this.git.tip });
  }

  #someEntry(): GateEntryId | undefined {
    const entries = this.core.gates.all.size === 0 ? [] : this.core.gate.entries;
    return entries[this.#roll(Math.max(1, entries.length))]?.entry;
  }

  #eject(): void {
    const entry = this.#someEntry();
    if (entry !== undefined) this.#turn({ kind: 'Eject', ...at, entry, by: 'grace' });
  }

  #moveBranch(): void {
    const entry = this.#someEntry();
    const ref =
      this.core.gates.all.size === 0
        ? undefined
        : this.core.gate.entries.find((one) => one.entry === entry)?.source.ref;
    if (ref === undefined) return;
    const to = this.git.tip;
    this.#turn({
      kind: 'RefChanged',
      project,
      ref,
      change: [
        { kind: 'deleted' } as const,
        { kind: 'forced', to } as const,
        { kind: 'forward', to } as const,
      ][this.#roll(3)]!,
    });
  }

  /** The process is killed; pushes that it began may still be made. */
  #crash(): void {
    if (!this.#plan.crashes) return;
    const live = plain(this.core.gates);
    this.#restart();
    expect(plain(this.core.gates)).toEqual(live);
  }

  #restart(): void {
    for (const effect of this.#effects) if (this.#roll(2) === 0) this.#perform(effect, { isKilled: true });
    this.#effects = [];
    this.#answers = [];
    this.core.replay();
    this.#turn();
  }

  /** What must hold, at the moment it is recorded. */
  #check(event: GateEvent): void {
    switch (event.kind) {
      case 'GateQueued':
        expect(this.queued).not.toContain(event.entry);
        this.queued.push(event.entry);
        return;
      case 'GateMerged':
        this.candidates.set(event.candidate.commit, event.entry);
        return;
      case 'GateLanded': {
        this.#end(event.entry, 'landed');
        this.landed.push(event.entry);
        expect(this.candidates.get(event.commit)).toBe(event.entry);
        expect(this.git.contains(this.git.tip, event.commit)).toBe(true);
        expect(this.isGreen(this.git.get(event.commit).tree)).toBe(true);
        return;
      }
      case 'GateAlreadyLanded': {
        this.#end(event.entry, 'already-landed');
        expect(this.git.tryMerge(this.core.gate.tip!, this.commits.get(event.entry)!).kind).toBe('contained');
        return;
      }
      case 'GateEjected':
        this.#end(event.entry, event.ejection.kind);
        this.#checkEjection(event);
        return;
      default:
        return;
    }
  }

  #end(entry: GateEntryId, how: string): void {
    expect(this.ended.has(entry)).toBe(false);
    this.ended.set(entry, how);
  }

  /** Nobody is ejected who would be green on the target as the gate knows it. */
  #checkEjection({ entry, ejection }: Extract<GateEvent, { kind: 'GateEjected' }>): void {
    const { tip } = this.core.gate;
    if (ejection.kind !== 'failed' && ejection.kind !== 'conflict') return;
    if (ejection.kind === 'failed' && ejection.failure?.kind === 'timed-out') {
      this.hung.add(entry);
      return;
    }
    const merged = this.git.tryMerge(tip!, this.commits.get(entry)!);
    if (ejection.kind === 'conflict') expect(merged.kind).toBe('conflict');
    else expect(merged.kind === 'clean' && this.isGreen(merged.tree)).toBe(false);
  }
}
