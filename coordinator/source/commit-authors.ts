/** Who made what is new between two commits, asked of a copy whose history may be cut. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { runGit } from '../../shared/git/git-program.js';
import { parseCommitId, parseRunId, type CommitId, type RunId } from '../../shared/model/ids.js';
import type { LocalGit } from './commit-summary.js';

export interface CommitAuthors {
  readonly commits: ReadonlySet<CommitId>;
  /** Of authors, co-authors and committers, in lower case. Anybody may write any. */
  readonly mails: ReadonlySet<string>;
  /** Runs that the trailer `Gantry-Run` names. Anybody may write that too. */
  readonly runs: ReadonlySet<RunId>;
}

/** A million commits. */
const maxStdoutBytes = 256 * 1024 * 1024;

const trailer = (key: string): string => `%(trailers:key=${key},valueonly,separator=%x01)`;
const format = ['%H', '%ae', '%ce', trailer('Co-authored-by'), trailer('Gantry-Run')].join('%x01%x01');

/** Of all that `to` has and `from` has not; `whole` gets the history that is cut off, and keeps it there for a look. */
export async function listAuthors(
  git: LocalGit,
  range: { readonly from?: CommitId; readonly to: CommitId },
  whole: (look: () => Promise<CommitAuthors>) => Promise<CommitAuthors>,
): Promise<CommitAuthors> {
  const found = await authorsHere(git, range);
  const cut = await cutAt(git);
  return cut.some((commit) => found.commits.has(commit)) ? whole(() => authorsHere(git, range)) : found;
}

async function authorsHere(
  git: LocalGit,
  { from, to }: { readonly from?: CommitId; readonly to: CommitId },
): Promise<CommitAuthors> {
  const { stdout } = await runGit({
    ...git,
    // What is missing of the contents is not asked for here.
    environment: { ...git.environment, GIT_NO_LAZY_FETCH: '1' },
    args: [
      'log',
      '-z',
      '--encoding=UTF-8',
      `--format=${format}`,
      '--end-of-options',
      to,
      ...(from === undefined ? [] : [`^${from}`]),
    ],
    maxStdoutBytes,
  });
  const commits = new Set<CommitId>();
  const mails = new Set<string>();
  const runs = new Set<RunId>();
  for (const line of stdout.toString('utf8').split('\0')) {
    const [id = '', author = '', committer = '', others = '', named = ''] = line.split('\x01\x01');
    const commit = parseCommitId(id);
    if (commit === undefined) continue;
    commits.add(commit);
    for (const mail of [author, committer, ...others.split('\x01').map(mailOf)]) {
      if (mail !== '') mails.add(mail.toLowerCase());
    }
    for (const run of named.split('\x01')) {
      const parsed = parseRunId(run.trim());
      if (parsed !== undefined) runs.add(parsed);
    }
  }
  return { commits, mails, runs };
}

/** Of `Name <address>`. */
const mailOf = (text: string): string => /<([^<>]*)>\s*$/.exec(text)?.[1] ?? '';

/** Commits whose parents the copy does not have. */
async function cutAt({ environment }: LocalGit): Promise<readonly CommitId[]> {
  try {
    const text = await readFile(path.join(environment['GIT_DIR'] ?? '', 'shallow'), 'utf8');
    return text.split('\n').flatMap((line) => parseCommitId(line.trim()) ?? []);
  } catch (error) {
    // No such file: nothing is cut off.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
