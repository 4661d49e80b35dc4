/** Makes the commit that the gate tests and lands: in its own copy, with its own identity, of the change's content. */
import { gitText, runGit } from '../../shared/git/git-program.js';
import { parseCommitId, type CommitId, type RunId } from '../../shared/model/ids.js';
import { describeCommit, listCommits, type CommitSummary, type LocalGit } from './commit-summary.js';

export interface MergeOrder {
  readonly base: CommitId;
  readonly commit: CommitId;
  readonly method: 'merge' | 'squash';
  /** `login`, `refs/for/main/login` */
  readonly source: string;
  readonly target: string;
  /** Named by the trailer `Gantry-Run`. */
  readonly run: RunId;
  /** Wall time, ms: when the change was queued. */
  readonly at: number;
}

export type Merged =
  | { readonly kind: 'merged'; readonly commit: CommitId }
  | { readonly kind: 'conflict'; readonly files: readonly string[] }
  /** The base contains it, or it changes nothing there. */
  | { readonly kind: 'contained' };

/** Nobody's mailbox: `.invalid` is reserved. */
export const gateIdentity = { name: 'Gantry', mail: 'gate@gantry.invalid' } as const;

/** More authors of one squashed commit are not named. */
const mostCoAuthors = 20;
/** Commits of a change that a squash looks at for their authors. */
const mostCommits = 1_000;

/** Both commits are in the copy, with their whole history. */
export async function makeGateCommit(git: LocalGit, order: MergeOrder): Promise<Merged> {
  const { base, commit, method } = order;
  if (await isAncestor(git, commit, base)) return { kind: 'contained' };
  const tree = await mergeTrees(git, base, commit);
  if (tree.kind === 'conflict') return tree;
  const baseTree = await gitText({
    ...git,
    args: ['rev-parse', '--verify', '--end-of-options', `${base}^{tree}`],
  });
  if (tree.id === baseTree) return { kind: 'contained' };
  const described = await describeCommit(git, commit);
  const author = method === 'squash' ? authorOf(described) : gateIdentity;
  const text =
    method === 'squash' ? await squashMessage(git, order, described) : mergeMessage(order, described.title);
  const made = await gitText({
    ...git,
    environment: {
      ...git.environment,
      GIT_AUTHOR_NAME: author.name,
      GIT_AUTHOR_EMAIL: author.mail,
      GIT_COMMITTER_NAME: gateIdentity.name,
      GIT_COMMITTER_EMAIL: gateIdentity.mail,
      GIT_AUTHOR_DATE: `@${Math.floor(order.at / 1000)} +0000`,
      GIT_COMMITTER_DATE: `@${Math.floor(order.at / 1000)} +0000`,
    },
    args: ['commit-tree', tree.id, '-p', base, ...(method === 'merge' ? ['-p', commit] : []), '-F', '-'],
    input: Buffer.from(await withTrailers(git, text.body, text.trailers)),
  });
  const candidate = parseCommitId(made);
  if (candidate === undefined) throw new Error(`git commit-tree named a commit ${made}`);
  return { kind: 'merged', commit: candidate };
}

export async function isAncestor(git: LocalGit, older: CommitId, newer: CommitId): Promise<boolean> {
  const args = ['rev-list', '--count', '--max-count=1', '--end-of-options', older, `^${newer}`];
  return (await gitText({ ...git, args })) === '0';
}

type TreeMerge =
  | { readonly kind: 'tree'; readonly id: string }
  | { readonly kind: 'conflict'; readonly files: readonly string[] };

/** By `--stdin`, whose exit code is 0 for conflicts too: it answers `1 tree` where all is well, `0 tree files…` where not. */
async function mergeTrees(git: LocalGit, base: CommitId, commit: CommitId): Promise<TreeMerge> {
  if (!(await haveHistoryInCommon(git, base, commit))) {
    return { kind: 'conflict', files: ['(it has no history in common with the target)'] };
  }
  const { stdout } = await runGit({
    ...git,
    args: ['merge-tree', '--write-tree', '--stdin', '-z', '--name-only', '--no-messages'],
    input: Buffer.from(`${base} ${commit}\n`),
    maxStdoutBytes: 64 * 1024 * 1024,
  });
  const [status, id = '', ...files] = stdout.toString('utf8').split('\0');
  if (status === '1') return { kind: 'tree', id };
  if (status === '0') return { kind: 'conflict', files: files.filter((file) => file !== '') };
  throw new Error(`git merge-tree answered ${JSON.stringify(stdout.toString('utf8').slice(0, 200))}`);
}

async function haveHistoryInCommon(git: LocalGit, one: CommitId, other: CommitId): Promise<boolean> {
  const args = ['merge-base', '--octopus', '--end-of-options', one, other];
  return (await gitText({ ...git, args }).catch(() => '')) !== ''; // it ends with 1 where there is none
}

interface Message {
  readonly body: string;
  readonly trailers: readonly string[];
}

const mergeMessage = ({ source, target, run }: MergeOrder, title: string): Message => ({
  body: `Merge ${source} into ${target}\n\n${title}\n`,
  trailers: [`Gantry-Run: ${run}`],
});

/** One commit keeps its message; several are listed below the last one's title. */
async function squashMessage(
  git: LocalGit,
  { base, commit, run }: MergeOrder,
  tip: CommitSummary & { readonly message: string },
): Promise<Message> {
  const commits = (await listCommits(git, { from: base, to: commit, max: mostCommits })).filter(
    ({ title }) => title !== '',
  );
  const list = commits.map(({ title }) => `* ${title}`).toReversed();
  const body = commits.length <= 1 ? tip.message : `${tip.title}\n\n${list.join('\n')}`;
  const author = nameOf(authorOf(tip));
  const others = new Set(commits.map((one) => nameOf(authorOf(one))).filter((name) => name !== author));
  return {
    body: `${body}\n`,
    trailers: [
      ...[...others].slice(0, mostCoAuthors).map((name) => `Co-authored-by: ${name}`),
      `Gantry-Run: ${run}`,
    ],
  };
}

interface Identity {
  readonly name: string;
  readonly mail: string;
}

/** git refuses an empty name, and takes no angle brackets and line ends. */
const authorOf = ({ authorName, authorMail }: CommitSummary): Identity => {
  const mail = authorMail.replace(/[<>\n]/g, '');
  const name = authorName.replace(/[<>\n]/g, '').trim();
  return { name: name === '' ? (mail.split('@')[0] ?? '') || 'unknown' : name, mail };
};

const nameOf = ({ name, mail }: Identity): string => `${name} <${mail}>`;

/** Behind those that the message has, if it ends with some. */
function withTrailers(git: LocalGit, body: string, trailers: readonly string[]): Promise<string> {
  return gitText({
    ...git,
    args: [
      'interpret-trailers',
      '--no-divider',
      '--if-exists=addIfDifferent',
      ...trailers.map((trailer) => `--trailer=${trailer}`),
    ],
    input: Buffer.from(body),
  }).then((text) => `${text.trimEnd()}\n`);
}
