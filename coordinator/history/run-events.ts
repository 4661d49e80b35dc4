/** The events of every run that is in the state: for watchers, and for the record. Filled from committed entries. */
import { Listeners } from '../../shared/async/listeners.js';
import type { Entry, Event } from '../../shared/model/event.js';
import type { AgentId, RunId } from '../../shared/model/ids.js';
import type { RunEvent } from './record.js';

export type RunListener = (event: RunEvent) => void;

export class RunEvents {
  readonly #events = new Map<RunId, RunEvent[]>();
  readonly #listeners = new Listeners<RunId, RunEvent>();
  readonly #agents = new Map<AgentId, string>();

  /** Takes every entry in order, replayed ones too. */
  take(sequence: number, entry: Entry): void {
    for (const event of entry.events) {
      if (event.kind === 'AgentRegistered') this.#agents.set(event.agent, event.name);
      if (event.kind === 'AgentForgotten') this.#agents.delete(event.agent);
      const run = runOf(event);
      if (run === undefined) continue;
      const seen: RunEvent = { sequence, at: entry.at, event };
      if (event.kind === 'RunAccepted') this.#events.set(run, [seen]);
      else this.#events.get(run)?.push(seen);
      this.#listeners.tell(run, seen);
      if (event.kind === 'RunRecorded') this.#events.delete(run);
    }
  }

  of(run: RunId): readonly RunEvent[] {
    return this.#events.get(run) ?? [];
  }

  /** What people call the agent; its id when it has been forgotten. */
  agentName(agent: AgentId): string {
    return this.#agents.get(agent) ?? agent;
  }

  /** Calls back for every later event of the run, until the returned function is called. */
  listen(run: RunId, listener: RunListener): () => void {
    return this.#listeners.add(run, listener);
  }
}

function runOf(event: Event): RunId | undefined {
  return 'run' in event ? event.run : undefined;
}
