import { usersEnvironment } from '../../shared/git/git-environment.js';
import { runGit } from '../../shared/git/git-program.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import { splitNul } from './git-tree.js';

export interface History {
  /** Commits that are sent although a parent of theirs is not. */
  readonly shallow: readonly CommitId[];
  /** Tags of the commits that are sent: full name of the ref -> object (the tag itself where it is annotated). */
  readonly tags: ReadonlyMap<string, string>;
}

export interface HistoryRequest {
  readonly commit: CommitId;
  /** How many commits. */
  readonly depth: number;
  /** Where the commit is. If its history is cut, its `shallow` file says where. */
  readonly gitDir: string;
  /** Those cuts. */
  readonly cuts: ReadonlySet<CommitId>;
  /** Where to look for tags. */
  readonly tagsFrom?: string;
  readonly signal?: AbortSignal;
}

/** Chooses the newest `depth` commits of a history, and what belongs to them. */
export async function historyOf(request: HistoryRequest): Promise<History> {
  const signal = request.signal === undefined ? {} : { signal: request.signal };
  const { stdout } = await runGit({
    args: ['rev-list', '--parents', `--max-count=${request.depth}`, '--end-of-options', request.commit],
    environment: usersEnvironment(),
    cwd: request.gitDir,
    ...signal,
  });
  const parents = new Map<string, readonly string[]>();
  for (const line of stdout.toString('latin1').split('\n')) {
    const [id, ...rest] = line.split(' ');
    if (id !== undefined && id !== '') parents.set(id, rest);
  }
  const shallow: CommitId[] = [];
  for (const [text, list] of parents) {
    const id = parseCommitId(text);
    if (id === undefined) throw new Error(`git rev-list named a commit ${text}`);
    if (request.cuts.has(id) || list.some((parent) => !parents.has(parent))) shallow.push(id);
  }
  const tags =
    request.tagsFrom === undefined
      ? new Map<string, string>()
      : await tagsOf(parents, request.tagsFrom, signal);
  return { shallow, tags };
}

async function tagsOf(
  commits: ReadonlyMap<string, unknown>,
  root: string,
  signal: { readonly signal?: AbortSignal },
): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await runGit({
    args: ['for-each-ref', '--format=%(objectname)%00%(*objectname)%00%(refname)%00', 'refs/tags'],
    environment: usersEnvironment(),
    cwd: root,
    maxStdoutBytes: 64 * 1024 * 1024,
    ...signal,
  });
  const tags = new Map<string, string>();
  const fields = splitNul(stdout).map((field) => field.toString('utf8').replace(/^\n/, ''));
  for (let index = 0; index + 2 < fields.length; index += 3) {
    const [object = '', peeled = '', name = ''] = fields.slice(index, index + 3);
    if (commits.has(peeled === '' ? object : peeled)) tags.set(name, object);
  }
  return tags;
}
