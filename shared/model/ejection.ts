/** Why an entry left the gate's queue without landing. The lander is told, with what to do. */
import { describeFailure, type Failure } from './failure.js';
import type { CommitId, RunId } from './ids.js';

export type Ejection =
  /** With the target itself. At most `mostConflictFiles` are named. */
  | { readonly kind: 'conflict'; readonly base: CommitId; readonly files: readonly string[] }
  /** Its merged result is not green; the log's tail is the run's. */
  | { readonly kind: 'failed'; readonly run: RunId; readonly reason: string; readonly failure?: Failure }
  | { readonly kind: 'run-canceled'; readonly run: RunId; readonly by: string }
  | { readonly kind: 'force-pushed'; readonly ref: string; readonly to: CommitId }
  /** The same ref was queued again with another commit. */
  | { readonly kind: 'superseded'; readonly ref: string; readonly to: CommitId }
  | { readonly kind: 'deleted'; readonly ref: string }
  /** A hook of the server refused the content; `message` is the server's. */
  | { readonly kind: 'refused'; readonly message: string }
  /** The commit cannot be fetched any more. */
  | { readonly kind: 'commit-missing'; readonly message: string }
  | { readonly kind: 'asked'; readonly by: string; readonly reason?: string };

/** What is kept of a list of files in conflict: it goes into the journal and into a mail. */
export const mostConflictFiles = 50;

/** One sentence for people, without a full stop. */
export function describeEjection(ejection: Ejection): string {
  switch (ejection.kind) {
    case 'conflict':
      return `it conflicts with the target in ${ejection.files.join(', ')}`;
    case 'failed':
      return ejection.failure === undefined
        ? ejection.reason
        : `${ejection.reason}: ${describeFailure(ejection.failure)}`;
    case 'run-canceled':
      return `its run ${ejection.run} was canceled by ${ejection.by}`;
    case 'force-pushed':
      return `${ejection.ref} was force-pushed to ${ejection.to}`;
    case 'superseded':
      return `${ejection.ref} was queued again at ${ejection.to}, which takes its place`;
    case 'deleted':
      return `${ejection.ref} was deleted`;
    case 'refused':
      return `the server refuses its content: ${ejection.message}`;
    case 'commit-missing':
      return `its commit cannot be fetched: ${ejection.message}`;
    case 'asked':
      return `ejected by ${ejection.by}${ejection.reason === undefined ? '' : `: ${ejection.reason}`}`;
  }
}
