/** A remote repository and a coordinator's, as far as the gate's rules see git: commits, three-way merges, one target. */
import type { FetchAnswer, MergeAnswer, PushAnswer } from '../../../coordinator/gate/command.js';
import type { MergeMethod } from '../../../shared/model/gate.js';
import type { CommitId, RunId } from '../../../shared/model/ids.js';
import { commitId, sha } from './core.js';

export type Tree = ReadonlyMap<string, string>;

interface FakeCommit {
  readonly id: CommitId;
  readonly order: number;
  readonly parents: readonly CommitId[];
  readonly tree: Tree;
  readonly by: string;
}

export type Merged =
  | { readonly kind: 'clean'; readonly tree: Tree }
  | { readonly kind: 'conflict'; readonly files: readonly string[] }
  | { readonly kind: 'contained' };

export class FakeGit {
  readonly #commits = new Map<CommitId, FakeCommit>();
  /** Where the server's target is. */
  tip: CommitId;

  constructor() {
    this.tip = this.commit([], new Map([['readme', 'first']]), 'root');
  }

  commit(parents: readonly CommitId[], tree: Tree, by: string): CommitId {
    const order = this.#commits.size + 1;
    const id = commitId(order);
    this.#commits.set(id, { id, order, parents, tree, by });
    return id;
  }

  get(id: CommitId): FakeCommit {
    return this.#commits.get(id)!;
  }

  /** With itself. */
  ancestors(id: CommitId): ReadonlySet<CommitId> {
    const found = new Set<CommitId>();
    const open = [id];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      open.push(...this.get(next).parents);
    }
    return found;
  }

  contains(id: CommitId, other: CommitId): boolean {
    return this.ancestors(id).has(other);
  }

  tryMerge(base: CommitId, commit: CommitId): Merged {
    const ours = this.ancestors(base);
    if (ours.has(commit)) return { kind: 'contained' };
    const common = [...this.ancestors(commit)].filter((id) => ours.has(id)).map((id) => this.get(id));
    const root = common.toSorted((a, b) => b.order - a.order)[0]!.tree;
    const [left, right] = [this.get(base).tree, this.get(commit).tree];
    const tree = new Map(left);
    const files: string[] = [];
    for (const [file, theirs] of right) {
      if (theirs === root.get(file) || theirs === left.get(file)) continue;
      if (left.get(file) !== root.get(file)) files.push(file);
      else tree.set(file, theirs);
    }
    if (files.length > 0) return { kind: 'conflict', files };
    return sameTree(tree, left) ? { kind: 'contained' } : { kind: 'clean', tree };
  }

  merge(
    base: CommitId,
    commit: CommitId,
    how: { readonly method: MergeMethod; readonly run: RunId },
  ): MergeAnswer {
    const merged = this.tryMerge(base, commit);
    if (merged.kind !== 'clean') return merged;
    const parents = how.method === 'merge' ? [base, commit] : [base];
    const made = this.commit(parents, merged.tree, 'gate');
    return {
      kind: 'merged',
      candidate: {
        commit: made,
        base,
        run: how.run,
        bundle: { digest: sha(this.get(made).order), bytes: 1, shallow: [] },
      },
    };
  }

  push(commit: CommitId, expected: CommitId): PushAnswer {
    if (this.tip !== expected) return { kind: 'moved' };
    this.tip = commit;
    return { kind: 'landed' };
  }

  fetch(known: CommitId | undefined, candidate: CommitId | undefined): FetchAnswer {
    const { tip } = this;
    return {
      kind: 'fetched',
      tip,
      isForward: known === undefined || this.contains(tip, known),
      containsCandidate: candidate !== undefined && this.contains(tip, candidate),
      by: [this.get(tip).by],
    };
  }
}

const sameTree = (a: Tree, b: Tree): boolean =>
  a.size === b.size && [...a].every(([file, content]) => b.get(file) === content);
