/**
 * Purges from LOGS what is in storage: an attempt's chunks ten minutes after its agent said that it archived them,
 * so that whoever reads them live comes to their end first.
 */
import { attemptKey, type AttemptRef } from '../../shared/model/ids.js';
import type { Entry } from '../../shared/model/event.js';
import type { Logger } from '../../shared/log.js';
import type { LiveLog } from './live-log.js';

const purgeAfterMs = 10 * 60_000;
const lookEveryMs = 30_000;

export class LogKeeper {
  readonly #live: LiveLog;
  readonly #log: Logger;
  /** When each attempt may be purged, wall ms. Replay fills it: a restart forgets nothing, and purging twice is harmless. */
  readonly #due = new Map<string, { readonly ref: AttemptRef; readonly at: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly live: LiveLog; readonly log: Logger }) {
    this.#live = options.live;
    this.#log = options.log;
  }

  /** Takes every entry, replayed ones too. */
  take(entry: Entry): void {
    for (const event of entry.events) {
      if (event.kind !== 'AttemptReported' || event.report.kind !== 'LogsArchived') continue;
      this.archived({ run: event.run, stage: event.stage, attempt: event.attempt }, entry.at);
    }
  }

  /** The attempt's logs are in storage since `at`, wall ms. */
  archived(ref: AttemptRef, at: number): void {
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
