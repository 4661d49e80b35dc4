/** What people are told of a deployment, in words: pure. Every text in it is one line that is safe to show. */
import { approvalDays, describeDeploymentEnd, describeUnknown } from '../../shared/model/deployment.js';
import type { EnvironmentSettings } from '../../shared/model/environment.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import { isRollback, type Chore } from '../delivery/state.js';
import type { CommitLine } from './commits.js';
import { short } from './headline.js';
import { listedCommits, type Fact, type Typed } from './message-parts.js';
import type { StoryCommit } from './story.js';

export interface DeliveryStory {
  readonly project: Project;
  readonly environment: string;
  readonly what: Chore;
  readonly subject: string;
  readonly headline: string;
  readonly tone: 'good' | 'bad' | 'asking';
  /** What it means, and what happens now. */
  readonly sentence: string;
  readonly facts: readonly Fact[];
  /** What would be new there, newest first. */
  readonly commits: readonly StoryCommit[];
  readonly moreCommits: number;
  readonly commands: readonly Typed[];
}

export interface DeliveryTold {
  readonly project: Project;
  readonly environment: string;
  readonly what: Chore;
  readonly settings: Pick<EnvironmentSettings, 'url' | 'rollsBack' | 'approval'>;
  /** The commit that is there, or was before it; undefined: nothing was. */
  readonly since: CommitId | undefined;
  /** That it has and what is there has not, newest first; empty where that is not known. */
  readonly commits: readonly CommitLine[];
}

const maxSubject = 180;

type Words = Pick<DeliveryStory, 'headline' | 'tone' | 'sentence' | 'commands'>;

export function deliveryStory(told: DeliveryTold): DeliveryStory {
  const { project, environment, what, settings, since, commits } = told;
  const words = wordsOf(told);
  const name = printable(project.name);
  const title = short(printable(what.facts.title), 80);
  const facts: readonly Fact[] = [
    { name: 'project', value: name },
    { name: 'environment', value: envOf(told) },
    { name: 'url', value: oneLine(settings.url ?? '') },
    { name: 'deployment', value: String(what.facts.deployment) },
    { name: 'change', value: `${what.commit.slice(0, 12)}  ${short(printable(what.facts.title), 120)}` },
    { name: 'asked by', value: oneLine(what.facts.by) },
    { name: 'run', value: what.facts.run },
    {
      name: what.notice.kind === 'approval-wanted' ? 'there now' : 'before it',
      value: bringsCommits(what) ? (since?.slice(0, 12) ?? 'nothing') : '',
    },
  ];
  return {
    project,
    environment,
    what,
    subject: short(`[gantry] ${name.split('/').at(-1) ?? name} ${words.headline} – "${title}"`, maxSubject),
    ...words,
    facts: facts.filter(({ value }) => value !== ''),
    commits: commits.slice(0, listedCommits).map(({ commit, title: line, authorName }) => ({
      commit,
      title: short(printable(line), 200),
      author: short(printable(authorName), 100),
    })),
    moreCommits: Math.max(0, commits.length - listedCommits),
  };
}

function wordsOf(told: DeliveryTold): Words {
  const { what } = told;
  const { notice, facts } = what;
  const env = envOf(told);
  const show: Typed = { command: `gantry environments show ${env}`, says: 'what is there, and what waits' };
  const back: Typed = { command: `gantry rollback ${env}`, says: 'go back to the last verified deployment' };
  const logs: Typed = { command: `gantry logs ${facts.run} ${facts.stage}`, says: 'what it did' };
  switch (notice.kind) {
    case 'approval-wanted':
      return {
        headline: `${env}: approval wanted`,
        tone: 'asking',
        sentence: `Deployment ${facts.deployment} to ${env} waits for your approval, for ${approvalDays} days. One approval is enough.${authorRule(told)}`,
        commands: [
          { command: `gantry approve ${env}`, says: 'deploy it' },
          { command: `gantry reject ${env} --reason '…'`, says: 'do not, and say why' },
          show,
        ],
      };
    case 'rolling-back': {
      const why =
        notice.cause === 'asked' ? `${oneLine(facts.by)} asked for it` : 'the verify of a deployment failed';
      return {
        headline: `${env}: rolling back to ${what.commit.slice(0, 12)}`,
        tone: 'bad',
        sentence: `${env} goes back to what deployment ${notice.to} brought: ${why}. Afterwards only what is newer than what it leaves goes there by itself.`,
        commands: [
          show,
          { command: `gantry environments resume ${env}`, says: 'let everything go there again' },
        ],
      };
    }
    case 'unknown':
      return {
        headline: `${env}: nobody knows how deployment ${facts.deployment} came out`,
        tone: 'bad',
        sentence: `${sentenceOf(describeUnknown(notice.cause))} Nothing else is deployed to ${env} until its agent comes back, its verify answers, or somebody who has looked at it says how it came out.`,
        commands: [
          { command: `gantry environments settle ${env} --good`, says: 'it is deployed, and well' },
          { command: `gantry environments settle ${env} --bad`, says: 'it is not' },
          logs,
          show,
        ],
      };
    case 'ended':
      return endedWords(told, notice, { show, back, logs });
  }
}

function endedWords(
  told: DeliveryTold,
  { end }: Extract<Chore['notice'], { kind: 'ended' }>,
  { show, back, logs }: Readonly<Record<'show' | 'back' | 'logs', Typed>>,
): Words {
  const { what, settings } = told;
  const { facts, commit } = what;
  const env = envOf(told);
  const rollback = isRollback(facts);
  const how = sentenceOf(describeDeploymentEnd(end));
  if (end.kind === 'verified') {
    return {
      headline: rollback
        ? `${env}: rolled back to ${commit.slice(0, 12)}`
        : `${env}: deployed ${commit.slice(0, 12)}`,
      tone: 'good',
      sentence: `Deployment ${facts.deployment} is on ${env}: ${how}`,
      commands: [show, ...(rollback ? [] : [back])],
    };
  }
  const next = ((): string => {
    if (rollback) return ` A rollback that fails is not rolled back: look at ${env}.`;
    return end.kind === 'verify-failed' && settings.rollsBack
      ? ` ${env} goes back by itself if there is something verified to go back to.`
      : '';
  })();
  return {
    headline: `${env}: ${rollback ? 'rollback' : 'deployment'} failed`,
    tone: 'bad',
    sentence: `Deployment ${facts.deployment} to ${env} failed: ${how}${next}`,
    commands: [logs, show, back],
  };
}

/** Whether what is new there is part of the news. */
export const bringsCommits = ({ notice, facts }: Chore): boolean =>
  notice.kind === 'approval-wanted' ||
  (notice.kind === 'ended' && notice.end.kind === 'verified' && !isRollback(facts));

const authorRule = ({ settings }: DeliveryTold): string =>
  settings.approval?.notAuthor === true ? ' Whoever submitted, landed or wrote it may not give it.' : '';

/** It follows the rule for names, so it may stand in a command. */
const envOf = ({ environment }: DeliveryTold): string => oneLine(environment);
const oneLine = (text: string): string => short(printable(text), 300);
const sentenceOf = (words: string): string => `${oneLine(words).replace(/\.$/, '')}.`;
