import { parseCommitId, type CommitId } from '../../shared/model/ids.js';

/** What `git ls-remote --symref` says of a repository. */
export interface RemoteRefs {
  /** Full name -> commit; of an annotated tag the commit behind it. */
  readonly commits: ReadonlyMap<string, CommitId>;
  /** Full name of the branch that HEAD is. */
  readonly head?: string;
}

export interface Revision {
  readonly kind: 'found';
  readonly commit: CommitId;
  /** Full name of the branch or tag. */
  readonly ref?: string;
}

export function parseRemoteRefs(text: string): RemoteRefs {
  const commits = new Map<string, CommitId>();
  let head: string | undefined;
  for (const line of text.split('\n')) {
    const [left = '', name = ''] = line.split('\t');
    const symref = /^ref: (refs\/heads\/.+)$/.exec(left)?.[1];
    if (symref !== undefined && name === 'HEAD') head = symref;
    const commit = parseCommitId(left);
    if (commit === undefined || name === '') continue;
    // The peeled line of a tag comes behind the tag's own and takes its place.
    commits.set(name.replace(/\^\{\}$/, ''), commit);
  }
  return { commits, ...(head === undefined ? {} : { head }) };
}

/**
 * What a person means by a branch, a tag, a full name, `HEAD` or a whole commit id. A commit id is that commit and nothing
 * else, because anybody may name a branch so; a branch goes before a tag of the same name. A commit that no branch is at may
 * still be there: whether it is, the fetch says.
 */
export function chooseRevision(
  refs: RemoteRefs,
  commitish: string,
): Revision | { readonly kind: 'unknown'; readonly message: string } {
  const named = (ref: string): Revision | undefined => {
    const commit = refs.commits.get(ref);
    return commit === undefined ? undefined : { kind: 'found', commit, ref };
  };
  if (commitish === 'HEAD') {
    const byBranch = refs.head === undefined ? undefined : named(refs.head);
    const commit = refs.commits.get('HEAD');
    if (byBranch !== undefined) return byBranch;
    if (commit !== undefined) return { kind: 'found', commit };
    return { kind: 'unknown', message: 'the repository has no commits yet: push one first' };
  }
  const commit = parseCommitId(commitish);
  if (commit !== undefined) {
    const ref = refAt(refs, commit);
    return { kind: 'found', commit, ...(ref === undefined ? {} : { ref }) };
  }
  const found =
    (commitish.startsWith('refs/') ? named(commitish) : undefined) ??
    named(`refs/heads/${commitish}`) ??
    named(`refs/tags/${commitish}`);
  if (found !== undefined) return found;
  if (/^[0-9a-f]{4,63}$/i.test(commitish)) {
    return {
      kind: 'unknown',
      message: `there is no branch or tag ${commitish}; if it is a commit, write all of its 40 characters in lower case, a remote cannot be asked by a part of them`,
    };
  }
  return { kind: 'unknown', message: `there is no branch or tag ${JSON.stringify(commitish)}${hint(refs)}` };
}

function refAt(refs: RemoteRefs, commit: CommitId): string | undefined {
  if (refs.head !== undefined && refs.commits.get(refs.head) === commit) return refs.head;
  const at = [...refs.commits].filter(([, at]) => at === commit).map(([name]) => name);
  return (
    at.find((name) => name.startsWith('refs/heads/')) ?? at.find((name) => name.startsWith('refs/tags/'))
  );
}

function hint(refs: RemoteRefs): string {
  const branches = [...refs.commits.keys()]
    .filter((name) => name.startsWith('refs/heads/'))
    .map((name) => name.slice('refs/heads/'.length));
  if (branches.length === 0) return ', and the repository has no branches';
  const more = branches.length > 5 ? ` and ${branches.length - 5} more` : '';
  return `; there are the branches ${branches.slice(0, 5).join(', ')}${more}`;
}
