import type { Failure } from '../model/failure.js';
import type { RunView } from '../model/run.js';
import type { WatchEvent } from './gen/gantry/v1/WatchEvent.js';
import { failureToWire } from './failure.js';
import { runToWire } from './run-view.js';

/** What a watcher is sent; `coordinator/api/watch.ts` makes it. */
export interface WatchedChange {
  readonly sequence: number;
  readonly at: number;
  readonly change:
    | { readonly kind: 'state'; readonly view: RunView }
    | { readonly kind: 'run'; readonly status: string }
    | (Titled & { readonly kind: 'stage'; readonly status: string; readonly failure?: Failure })
    | (Titled & {
        readonly kind: 'attempt';
        readonly attempt: number;
        readonly status: string;
        readonly agentName: string;
        readonly reason: string;
        readonly failure?: Failure;
      })
    | (Titled & {
        readonly kind: 'step';
        readonly attempt: number;
        readonly step: number;
        readonly name: string;
        readonly status: string;
        readonly exitCode?: number;
        readonly durationMs: number;
        readonly failure?: Failure;
      })
    | { readonly kind: 'image'; readonly image: string; readonly digest: string }
    | (Titled & { readonly kind: 'progress'; readonly activity: string; readonly fraction?: number });
}

interface Titled {
  readonly stage: number;
  readonly title: string;
}

export function watchEventToWire(watched: WatchedChange): WatchEvent {
  return {
    sequence: watched.sequence,
    at: new Date(watched.at).toISOString(),
    ...whatToWire(watched.change),
  };
}

function whatToWire(change: WatchedChange['change']): WatchEvent {
  switch (change.kind) {
    case 'state':
      return { state: runToWire(change.view) };
    case 'run':
      return { run: { status: change.status } };
    case 'image':
      return { image: { image: change.image, digest: change.digest } };
    case 'progress':
      return { progress: change };
    case 'stage': {
      const { failure, ...rest } = change;
      return { stage: { ...rest, ...(failure === undefined ? {} : { failure: failureToWire(failure) }) } };
    }
    case 'attempt': {
      const { failure, ...rest } = change;
      return { attempt: { ...rest, ...(failure === undefined ? {} : { failure: failureToWire(failure) }) } };
    }
    case 'step': {
      const { failure, ...rest } = change;
      return { step: { ...rest, ...(failure === undefined ? {} : { failure: failureToWire(failure) }) } };
    }
  }
}
