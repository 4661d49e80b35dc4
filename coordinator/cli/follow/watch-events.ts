import { backoffMs, type Backoff } from '../../../shared/async/backoff.js';
import { sleep } from '../../../shared/async/sleep.js';
import { isEnded } from '../../../shared/model/run.js';
import type { RunSelector } from '../../../shared/wire/gen/gantry/v1/RunSelector.js';
import { UnreachableError } from '../cli-error.js';
import type { RunsApi } from '../grpc-client.js';
import type { Output } from '../output.js';
import { followEventFromWire, type FollowEvent } from './watch-event.js';

export interface WatchRequest {
  readonly api: Pick<RunsApi, 'watch'>;
  readonly run: RunSelector;
  /** Ends the events early. */
  readonly signal: AbortSignal;
  readonly output: Pick<Output, 'note'>;
  readonly backoff?: Backoff;
}

/** How long a coordinator may be away before following gives up: restarts and failovers take seconds. */
const patienceMs = 120_000;

/**
 * Every event of a run once, up to the run's end, although the coordinator restarts meanwhile. Throws `CliError` when
 * there is no such run, or the coordinator is away at the start or for too long.
 */
export async function* watchEvents(request: WatchRequest): AsyncIterable<FollowEvent> {
  const { api, signal, output, backoff = { firstMs: 100, maxMs: 2000 } } = request;
  let selector = request.run;
  const position = new Position();
  let ended = false;
  let failures = 0;
  let awaySince: number | undefined;
  while (!signal.aborted) {
    try {
      position.rewind();
      for await (const message of api.watch({ run: selector, afterSequence: position.resumeAfter }, signal)) {
        if (awaySince !== undefined) output.note('connected again');
        awaySince = undefined;
        failures = 0;
        const event = followEventFromWire(message);
        if (!position.isNew(message.sequence ?? 0, event?.kind === 'state') || event === undefined) continue;
        // From here on it is this run, also when a newer one becomes the latest.
        if (event.kind === 'state') selector = { run: event.run.run, projectName: '' };
        ended ||= endsRun(event);
        yield event;
      }
      if (ended) return;
    } catch (error) {
      if (ended && error instanceof UnreachableError) return;
      // Nothing was seen yet: whoever typed the command wants to know at once.
      if (!(error instanceof UnreachableError) || !position.began) throw error;
      if (awaySince === undefined) output.note(`${error.message}; trying again`);
      awaySince ??= Date.now();
      if (Date.now() - awaySince > patienceMs) throw error;
    }
    try {
      await sleep(backoffMs(backoff, failures++, Math.random()), signal);
    } catch {
      return; // aborted
    }
  }
}

const endsRun = (event: FollowEvent): boolean =>
  (event.kind === 'run' && isEnded(event.status)) || (event.kind === 'state' && isEnded(event.run.status));

/**
 * How far the reader is. One entry of the journal, one sequence, may hold several events; a stream that broke between
 * them is resumed before the entry, and what was seen of it is skipped.
 */
class Position {
  began = false;
  #sequence = 0;
  #seen = 0;
  #toSkip = 0;
  #whole = false;

  get resumeAfter(): number {
    return this.#whole ? this.#sequence : Math.max(0, this.#sequence - 1);
  }

  rewind(): void {
    this.#toSkip = this.#whole ? 0 : this.#seen;
  }

  /** `state`: it stands for all events up to and with its sequence. */
  isNew(sequence: number, state: boolean): boolean {
    this.began = true;
    // Progress is in no entry and is not sent again.
    if (sequence === 0) return true;
    if (state || sequence > this.#sequence) {
      this.#sequence = sequence;
      this.#seen = 1;
      this.#toSkip = 0;
      this.#whole = state;
      return true;
    }
    if (sequence < this.#sequence) return false;
    if (this.#toSkip > 0) {
      this.#toSkip -= 1;
      return false;
    }
    this.#seen += 1;
    return true;
  }
}
