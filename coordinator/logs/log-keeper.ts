/**
 * Purges from LOGS what is in storage: an attempt's chunks ten minutes after its agent said that it archived them, or
 * after its run was put on record, which archives the rest; so that whoever reads them live comes to their end first.
 */
import { attemptKey, type AttemptRef, type RunId } from '../../shared/model/ids.js';
import type { Entry, Event } from '../../shared/model/event.js';
import type { Logger } from '../../shared/log.js';
import type { LiveLog } from './live-log.js';

const purgeAfterMs = 10 * 60_000;
const lookEveryMs = 30_000;

export class LogKeeper {
  readonly #live: LiveLog;
  readonly #log: Logger;
  /** When each attempt may be purged, wall ms. Replay fills it: a restart forgets nothing, and purging twice is harmless. */
  readonly #due = new Map<string, { readonly ref: AttemptRef; readonly at: number }>();
  /** Attempts of the runs that are not on record, whose logs nobody has said to be in storage. */
  readonly #open = new Map<RunId, Map<string, AttemptRef>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly live: LiveLog; readonly log: Logger }) {
    this.#live = options.live;
    this.#log = options.log;
  }

  /** Takes every entry, replayed ones too. */
  take(entry: Entry): void {
    for (const event of entry.events) this.#takeEvent(event, entry.at);
  }

  #takeEvent(event: Event, at: number): void {
    if (event.kind === 'StageLeased') {
      const ref: AttemptRef = { run: event.run, stage: event.stage, attempt: event.attempt };
      const open = this.#open.get(event.run) ?? new Map<string, AttemptRef>();
      this.#open.set(event.run, open.set(attemptKey(ref), ref));
    } else if (event.kind === 'AttemptReported' && event.report.kind === 'LogsArchived') {
      const ref: AttemptRef = { run: event.run, stage: event.stage, attempt: event.attempt };
      this.#open.get(event.run)?.delete(attemptKey(ref));
      this.#archived(ref, at);
    } else if (event.kind === 'RunRecorded') {
      for (const ref of this.#open.get(event.run)?.values() ?? []) this.#archived(ref, at);
      this.#open.delete(event.run);
    }
  }

  /** The attempt's logs are in storage since `at`, wall ms. */
  #archived(ref: AttemptRef, at: number): void {
    this.#due.set(attemptKey(ref), { ref, at: at + purgeAfterMs });
  }

  begin(): void {
    this.#timer = setInterval(() => void this.#purgeDue(), lookEveryMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #purgeDue(): Promise<void> {
    for (const [key, { ref, at }] of [...this.#due]) {
      if (at > Date.now()) continue;
      try {
        await this.#live.purge(ref);
        this.#due.delete(key);
      } catch (error) {
        this.#log.warn(
          { err: error, run: ref.run, stage: ref.stage },
          'LOGS could not be purged: trying again',
        );
        return;
      }
    }
  }
}
