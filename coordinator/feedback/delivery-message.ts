/** The story of a deployment as mail and JSON: pure. */
import { describeDeploymentEnd, describeUnknown } from '../../shared/model/deployment.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { Chore } from '../delivery/state.js';
import type { DeliveryStory } from './delivery-story.js';
import { columns, framedTellable } from './framed-message.js';
import type { Tellable } from './tellable.js';

const colors = { good: '#067647', bad: '#b42318', asking: '#b54708' } as const;

/** `identity` names the news for good. */
export function deliveryTellable(story: DeliveryStory, identity: string): Tellable {
  const { subject, headline, sentence, facts, commands, tone } = story;
  return framedTellable({
    about: 'delivery',
    identity,
    news: newsOf(story),
    subject,
    headline,
    color: colors[tone],
    sentence,
    blocks: [
      columns(facts.map(({ name, value }) => [name, value])),
      commitLines(story),
      columns(commands.map(({ command, says }) => [command, `# ${says}`])),
    ],
    body: (delivery) => bodyOf(story, delivery),
  });
}

const newsOf = ({ what }: DeliveryStory): string => `deployment-${what.notice.kind}`;

function commitLines({ commits, moreCommits }: DeliveryStory): readonly string[] {
  if (commits.length === 0) return [];
  return [
    'What it brings:',
    ...commits.map(({ commit, title, author }) => `  ${commit.slice(0, 12)}  ${title} (${author})`),
    ...(moreCommits === 0 ? [] : [`  and ${moreCommits} more`]),
  ];
}

function bodyOf(story: DeliveryStory, delivery: string) {
  const { project, environment, what, headline, sentence, commits, moreCommits } = story;
  const { facts, commit } = what;
  return {
    v: 1,
    delivery,
    news: newsOf(story),
    project: { id: project.id, name: printable(project.name) },
    environment,
    headline,
    sentence,
    deployment: {
      number: facts.deployment,
      run: facts.run,
      stage: facts.stage,
      commit,
      title: printable(facts.title),
      by: printable(facts.by),
      branch: facts.source.branch === undefined ? null : printable(facts.source.branch),
      rollbackOf: facts.of.kind === 'rollback' ? facts.of.of : null,
    },
    ...noticeBody(what.notice),
    commits,
    moreCommits: moreCommits > 0,
  };
}

function noticeBody(notice: Chore['notice']) {
  switch (notice.kind) {
    case 'approval-wanted':
      return { approvers: notice.approvers };
    case 'rolling-back':
      return { to: notice.to, cause: notice.cause };
    case 'unknown':
      return { reason: { kind: notice.cause.kind, message: printable(describeUnknown(notice.cause)) } };
    case 'ended':
      return { end: { kind: notice.end.kind, message: printable(describeDeploymentEnd(notice.end)) } };
  }
}
