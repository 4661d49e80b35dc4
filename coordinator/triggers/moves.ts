/** What is news in a repository's refs. */
import type { CommitId } from '../../shared/model/ids.js';
import type { RefMove } from '../../shared/model/project.js';

/** Refs that runs come from, and proposals for the gate. */
export const isWatched = (ref: string): boolean => /^refs\/(?:heads|tags|for)\//.test(ref);

/** `known`: tips as they were recorded; a ref without a tip counts as unknown. */
export function movesBetween(
  known: ReadonlyMap<string, { readonly tip?: CommitId }>,
  seen: ReadonlyMap<string, CommitId>,
): readonly RefMove[] {
  const moves: RefMove[] = [];
  for (const [ref, tip] of seen) {
    if (!isWatched(ref)) continue;
    const old = known.get(ref)?.tip;
    if (old !== tip) moves.push({ ref, new: tip, ...(old === undefined ? {} : { old }) });
  }
  for (const [ref, { tip }] of known) {
    if (tip !== undefined && isWatched(ref) && !seen.has(ref)) moves.push({ ref, old: tip });
  }
  return moves;
}

/** For people: `refs/heads/main 1a2b3c4 -> 5d6e7f8`. */
export const describeMove = ({ ref, old, new: now }: RefMove): string =>
  `${ref} ${old?.slice(0, 8) ?? '(new)'} -> ${now?.slice(0, 8) ?? '(deleted)'}`;
