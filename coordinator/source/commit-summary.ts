/** What commits say of themselves. */
import { gitText, runGit } from '../../shared/git/git-program.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';

/** How to run git in a copy of the repository. */
export interface LocalGit {
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly idleMs: number;
}

export interface CommitSummary {
  readonly commit: CommitId;
  /** First line of the message, at most 200 characters. */
  readonly title: string;
  readonly authorName: string;
  readonly authorMail: string;
}

const maxMessage = 2_000;

export async function describeCommit(
  git: LocalGit,
  commit: CommitId,
): Promise<CommitSummary & { readonly message: string }> {
  const text = await gitText({
    ...git,
    args: ['log', '-1', '--encoding=UTF-8', '--format=%H%x00%an%x00%ae%x00%B', '--end-of-options', commit],
  });
  const [id = '', authorName = '', authorMail = '', message = ''] = text.split('\0');
  return {
    commit: parseCommitId(id) ?? commit,
    title: titleOf(message),
    authorName,
    authorMail,
    message: shortened(message.trim(), maxMessage),
  };
}

/** Commits that `to` has and `from` has not, newest first. */
export async function listCommits(
  git: LocalGit,
  range: { readonly from?: CommitId; readonly to: CommitId; readonly max: number },
): Promise<readonly CommitSummary[]> {
  const { stdout } = await runGit({
    ...git,
    args: [
      'log',
      '-z',
      '--encoding=UTF-8',
      `--max-count=${range.max}`,
      '--format=%H%x01%an%x01%ae%x01%s',
      '--end-of-options',
      range.to,
      ...(range.from === undefined ? [] : [`^${range.from}`]),
    ],
  });
  return stdout
    .toString('utf8')
    .split('\0')
    .flatMap((line) => {
      const [id = '', authorName = '', authorMail = '', title = ''] = line.split('\x01');
      const commit = parseCommitId(id);
      return commit === undefined ? [] : [{ commit, title: titleOf(title), authorName, authorMail }];
    });
}

const titleOf = (message: string): string => shortened(message.split('\n', 1)[0] ?? '', 200);
/** By code points, so that no character is cut in two. */
const shortened = (text: string, length: number): string => Array.from(text).slice(0, length).join('');
