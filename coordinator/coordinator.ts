/**
 * The loop. Read this first.
 *
 *        commands, reports, heartbeats, timers
 *                     │
 *                     ▼
 *   ┌── turn: handle each ► decide ► append (one in flight, fenced) ──┐
 *   │         (state is ahead of the journal only here)               │ acknowledged
 *   │                                                                 ▼
 *   └──◄── what arrived meanwhile ◄── effects ◄── reads ◄── answers, listeners
 *
 * What arrives while an append is in flight waits and goes together into the next entry: group commit. Nothing is
 * answered, shown or done before it is durable. A refused or unanswered append throws the state away: the process
 * stops leading, and whoever leads next replays. Recovery is no second path: a start is a replay and a first turn.
 */
import type { HeldAttempt } from '../shared/model/agent.js';
import type { Entry, Event } from '../shared/model/event.js';
import type { AgentId } from '../shared/model/ids.js';
import { deferred } from '../shared/async/deferred.js';
import type { Logger } from '../shared/log.js';
import { maxEntryBytes, type Journal } from './journal/journal.js';
import { applyEntry } from './scheduler/apply.js';
import type { Answer, Command, Effect, Handled, Now } from './scheduler/command.js';
import { decide } from './scheduler/decide.js';
import { JournalLostTail, handle, notGivenOut } from './scheduler/handle.js';
import { emptyPresence, restartTimers, type Presence } from './scheduler/presence.js';
import { emptyState, type State } from './scheduler/state.js';

/** The coordinator does not lead (any more): the caller should try again, here or elsewhere. */
export class NotLeading extends Error {
  override readonly name = 'NotLeading';
}

/** What reads see: everything acknowledged, nothing else. It must not be kept or changed. */
export interface Committed {
  readonly state: State;
  readonly presence: Presence;
  readonly sequence: number;
  readonly now: Now;
}

export interface CommittedEntry {
  readonly sequence: number;
  readonly entry: Entry;
}

export interface Clock {
  wallMs(): number;
  monotonicMs(): number;
}

export interface CoordinatorOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** 32 hexadecimal characters of randomness for this epoch: identifiers and jitter come from it. */
  readonly seed: string;
  /** Performs one effect. What comes of it comes back as a command; it must not throw. */
  readonly perform: (effect: Effect) => void;
  /**
   * Every entry that counts (void ones do not), in order, replayed ones first. Called before the answers that depend
   * on it. A replay that was repeated gives them from the first on again.
   */
  readonly onEntry: (committed: CommittedEntry) => void;
  /** Whether an agent's claim to hold a lease carries the proof that was given out with it. */
  readonly isProven: (agent: AgentId, claim: HeldAttempt) => boolean;
  readonly log: Logger;
}

type Item =
  | { readonly kind: 'command'; readonly command: Command; readonly settle: (answer: Answer) => void }
  | { readonly kind: 'read'; readonly look: (committed: Committed) => void };

interface Waiting {
  readonly item: Item;
  readonly fail: (error: Error) => void;
}

/** More than this between two turns that were due means that the process was stopped or starved. */
const stallMs = 5_000;
/** Commands taken into one turn; the rest goes into the next. Bounds an entry's size and a turn's length. */
const turnCommands = 500;
/**
 * What a command brings becomes events, and those of one command stand in one entry: a command that would fit none is
 * refused at the door, because in the loop it would end the process, again and again as its sender repeats it.
 */
export const maxCommandBytes = maxEntryBytes - 64 * 1024;

export class Coordinator {
  readonly #options: CoordinatorOptions;
  #state: State = emptyState();
  #presence: Presence | undefined;
  #sequence = 0;
  #inbox: Waiting[] = [];
  #wake = deferred();
  #stopped: Error | undefined;
  #missedMessages = false;
  /** The process stood still, and no turn has restarted the timers since. */
  #stalled = false;
  #lastBeatMs = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  /** Replays the journal, begins an epoch, and makes the first turn. Rejects with NotLeading when somebody else writes. */
  async start(): Promise<void> {
    const { journal, log } = this.#options;
    for (let tries = 0; ; tries += 1) {
      this.#state = emptyState();
      const begun = this.#options.clock.monotonicMs();
      this.#sequence = await journal.replay(0, (sequence, entry) => this.#take(sequence, entry));
      const epoch = this.#sequence + 1;
      const entry = this.#entryOf([{ kind: 'EpochBegan', epoch, seed: this.#options.seed }], epoch);
      const result = await journal.append(entry, this.#sequence);
      if (result.kind === 'stored') {
        if (this.#take(result.sequence, entry) === 'void') {
          throw new NotLeading('the entry that began this epoch is void: the journal knows a greater epoch');
        }
        const ms = Math.round(this.#options.clock.monotonicMs() - begun);
        log.info({ epoch, entries: this.#sequence, runs: this.#state.runs.size, ms }, 'leading');
        break;
      }
      // A former leader was still writing, or the answer was lost: replay again, and know.
      if (tries >= 20) throw new NotLeading(`the epoch could not begin (${result.kind}): ${result.message}`);
    }
    this.#presence = emptyPresence(this.#now());
  }

  /** Runs turns until `stop`, or until an append fails; then every waiting caller gets NotLeading. */
  async run(): Promise<void> {
    if (this.#presence === undefined) throw new NotLeading('run() before start()');
    this.#lastBeatMs = this.#options.clock.monotonicMs();
    // While nothing is due no turn looks at the clock. After a stall this timer may come before the turn's own.
    const beat = setInterval(() => this.#beat(), 1_000);
    try {
      let wakeAtMs: number | undefined = 0;
      while (this.#stopped === undefined) {
        await this.#somethingToDo(wakeAtMs);
        if (this.#stoppedNow() !== undefined) break;
        this.#beat();
        wakeAtMs = await this.#turn();
      }
    } catch (error) {
      this.stop(error instanceof Error ? error : new Error('the loop failed', { cause: error }));
    } finally {
      clearInterval(beat);
      this.#failAll();
    }
    const reason = this.#stoppedNow();
    if (reason !== undefined && !(reason instanceof Stopped)) throw reason;
  }

  /** Ends the loop after the turn that is under way. */
  stop(reason: Error = new Stopped()): void {
    this.#stopped ??= reason;
    this.#wake.resolve();
  }

  /** Messages may have been missed (NATS came back): nobody is late by what was not heard. */
  missedMessages(): void {
    this.#missedMessages = true;
    this.#wake.resolve();
  }

  /** Asks for a change; resolves once its events are durable. Rejects with NotLeading. */
  perform(command: Command): Promise<Answer> {
    // Heartbeats come often and become no event.
    if (command.kind !== 'HeartbeatSeen') {
      const bytes = Buffer.byteLength(JSON.stringify(command));
      if (bytes > maxCommandBytes) {
        const message = `${command.kind}: ${bytes} bytes, at most ${maxCommandBytes} fit the journal`;
        return Promise.resolve({ kind: 'refused', message });
      }
    }
    const answer = deferred<Answer>();
    this.#enqueue({ item: { kind: 'command', command, settle: answer.resolve }, fail: answer.reject });
    return answer.promise;
  }

  /** Looks at the committed state, between two turns. `look` must be quick and keep nothing of what it saw. */
  read<T>(look: (committed: Committed) => T): Promise<T> {
    const result = deferred<T>();
    const item: Item = {
      kind: 'read',
      look: (committed) => {
        try {
          result.resolve(look(committed));
        } catch (error) {
          result.reject(error instanceof Error ? error : new Error('a read failed', { cause: error }));
        }
      },
    };
    this.#enqueue({ item, fail: result.reject });
    return result.promise;
  }

  #enqueue(waiting: Waiting): void {
    if (this.#stopped !== undefined) {
      waiting.fail(new NotLeading('this coordinator does not lead now', { cause: this.#stopped }));
      return;
    }
    this.#inbox.push(waiting);
    this.#wake.resolve();
  }

  #beat(): void {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#lastBeatMs > stallMs) this.#stalled = true;
    this.#lastBeatMs = now;
  }

  async #turn(): Promise<number | undefined> {
    const presence = this.#presence;
    if (presence === undefined) throw new NotLeading('not started');
    // Messages come before timers: a heartbeat that waited in the inbox while the process was stopped counts.
    if (this.#stalled) this.#options.log.warn('the process was stopped or starved for more than 5 s');
    if (this.#stalled || this.#missedMessages) restartTimers(presence, this.#now());
    this.#stalled = false;
    this.#missedMessages = false;
    const taken = this.#inbox.splice(0, turnCommands);
    const now = this.#now();
    /** Events that must stand in one entry. */
    const groups: (readonly Event[])[] = [];
    const answers: (() => void)[] = [];
    let failed: Error | undefined;
    try {
      for (const { item } of taken) {
        if (item.kind !== 'command') continue;
        const handled = this.#handle(presence, item.command, now);
        if (handled.events.length > 0) groups.push(handled.events);
        answers.push(() => item.settle(handled.answer));
      }
      const decision = decide(this.#state, presence, now);
      for (const event of decision.events) groups.push([event]);
      if (groups.length > 0) await this.#append(groups, now);
      for (const answer of answers) answer();
      const committed: Committed = { state: this.#state, presence, sequence: this.#sequence, now };
      for (const { item } of taken) if (item.kind === 'read') item.look(committed);
      for (const effect of decision.effects) this.#options.perform(effect);
      return decision.wakeAtMs;
    } catch (error) {
      failed = error instanceof Error ? error : new Error('a turn failed', { cause: error });
      throw failed;
    } finally {
      // The state is not the journal's any more: nobody may get an answer from it.
      if (failed !== undefined)
        for (const { fail } of taken) fail(new NotLeading(failed.message, { cause: failed }));
    }
  }

  /** An agent that says it holds what was never leased does not stop the leader, unless it can prove it. */
  #handle(presence: Presence, command: Command, now: Now): Handled {
    try {
      return handle(this.#state, presence, command, now);
    } catch (error) {
      const { isProven, log } = this.#options;
      if (!(error instanceof JournalLostTail) || isProven(error.agent, error.claim)) throw error;
      const message = notGivenOut(error.agent, error.claim);
      log.warn({ agent: error.agent, claim: error.claim }, message);
      return { events: [], answer: { kind: 'refused', message } };
    }
  }

  /** Appends the groups in as few entries as their sizes allow, one after the other. */
  async #append(groups: readonly (readonly Event[])[], now: Now): Promise<void> {
    let events: Event[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      const entry = this.#entryOf(events, this.#state.epoch, now.wallMs);
      const result = await this.#options.journal.append(entry, this.#sequence);
      if (result.kind !== 'stored') {
        throw new NotLeading(`the journal did not take an entry (${result.kind}): ${result.message}`);
      }
      this.#sequence = result.sequence;
      this.#options.onEntry({ sequence: result.sequence, entry });
      events = [];
      bytes = 0;
    };
    for (const group of groups) {
      const groupBytes = group.reduce((sum, event) => sum + Buffer.byteLength(JSON.stringify(event)) + 1, 0);
      if (bytes > 0 && bytes + groupBytes > maxEntryBytes - 1024) await flush();
      events.push(...group);
      bytes += groupBytes;
    }
    if (events.length > 0) await flush();
  }

  /** An entry that the journal gave back: replayed, or the first of this epoch. */
  #take(sequence: number, entry: Entry): 'applied' | 'void' {
    const outcome = applyEntry(this.#state, entry);
    this.#sequence = sequence;
    if (outcome === 'applied') this.#options.onEntry({ sequence, entry });
    return outcome;
  }

  #entryOf(events: readonly Event[], epoch: number, wallMs = this.#now().wallMs): Entry {
    return { v: 1, at: wallMs, epoch, events };
  }

  /** Wall time never goes back, whatever the machine's clock does. */
  #now(): Now {
    return {
      wallMs: Math.max(this.#options.clock.wallMs(), this.#state.lastAt),
      monotonicMs: this.#options.clock.monotonicMs(),
    };
  }

  async #somethingToDo(wakeAtMs: number | undefined): Promise<void> {
    if (this.#inbox.length > 0) return;
    this.#wake = deferred();
    if (this.#stopped !== undefined) return;
    if (wakeAtMs === undefined) return this.#wake.promise;
    const waitMs = Math.max(0, wakeAtMs - this.#options.clock.monotonicMs());
    const timer = setTimeout(this.#wake.resolve, Math.min(waitMs, 2 ** 31 - 1));
    await this.#wake.promise;
    clearTimeout(timer);
  }

  /** `#stopped` changes while the loop awaits, which flow analysis does not see. */
  #stoppedNow(): Error | undefined {
    return this.#stopped;
  }

  #failAll(): void {
    const reason = this.#stopped ?? new Stopped();
    for (const { fail } of this.#inbox.splice(0)) {
      fail(new NotLeading('this coordinator does not lead now', { cause: reason }));
    }
  }
}

/** An ordinary stop, not a failure. */
class Stopped extends Error {
  override readonly name = 'Stopped';
  constructor() {
    super('stopped');
  }
}
