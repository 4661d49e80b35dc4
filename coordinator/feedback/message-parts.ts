/** What text and HTML of a mail have in common: facts, history and commands, as data. */
import { shortRunId } from '../../shared/model/ids.js';
import type { RunAtCommit } from '../../shared/model/project.js';
import { short } from './headline.js';
import type { Story } from './story.js';

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface Typed {
  /** For a shell: ids and numbers only, never a name that a person wrote. */
  readonly command: string;
  readonly says: string;
}

/** Commits that a mail lists; the rest is counted. */
export const listedCommits = 20;

export function factsOf(story: Story): readonly Fact[] {
  const ref = story.tag ?? story.branch;
  return [
    { name: 'project', value: story.project.name },
    { name: story.tag === null ? 'branch' : 'tag', value: ref ?? '' },
    { name: 'commit', value: `${story.commit.slice(0, 12)}  ${short(story.title, 120)}` },
    { name: 'author', value: story.author ?? '' },
    { name: 'by', value: isAuthor(story) ? '' : story.by },
    { name: 'run', value: `${story.run} (${story.event})` },
  ].filter(({ value }) => value !== '');
}

const isAuthor = ({ author, by }: Story): boolean => author === by || author?.startsWith(`${by} <`) === true;

/** Since when it fails, or did; empty where the news is about this run alone. */
export function historyOf({ failing, news }: Story): readonly Fact[] {
  if (failing === null) return [];
  const { since, lastGreen } = failing;
  return [
    { name: news === 'fixed' ? 'had failed since' : 'fails since', value: atCommit(since) },
    {
      name: 'last green',
      value: lastGreen === undefined ? 'never' : atCommit(lastGreen),
    },
  ];
}

const atCommit = ({ commit, run }: RunAtCommit): string =>
  `commit ${commit.slice(0, 12)} (run ${shortRunId(run)})`;

export function commandsOf(story: Story): readonly Typed[] {
  const show = { command: `gantry show ${story.run}`, says: 'what ran, and how it ended' };
  if (story.news === 'fixed') return [show];
  const logs = story.failed.slice(0, 3).map(({ number, title }) => ({
    command: `gantry logs ${story.run} ${number}`,
    says: `the whole log of ${title}`,
  }));
  const retry = { command: `gantry retry ${story.run}`, says: 'run it again' };
  return [show, ...logs, ...(story.failure === null ? [retry] : [])];
}

export function commitsTitle(story: Story): string {
  if (story.failing?.lastGreen !== undefined) return 'Commits since the last green run';
  return story.commits.length === 1 ? 'Its commit' : 'Its commits';
}

export const moreCommits = (story: Story): string | undefined => {
  const more = story.commits.length - listedCommits;
  if (more <= 0) return undefined;
  return story.moreCommits ? `and more than ${more} others` : `and ${more} more`;
};
