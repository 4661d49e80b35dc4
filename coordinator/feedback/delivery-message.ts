/** The story of a deployment as mail and JSON: pure. */
import { createHash } from 'node:crypto';
import { describeDeploymentEnd, describeUnknown } from '../../shared/model/deployment.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { Chore } from '../delivery/state.js';
import type { DeliveryStory } from './delivery-story.js';
import { escapeHtml } from './message-html.js';
import { targetKey } from './target.js';
import type { Tellable } from './tellable.js';

/** `identity` names the news for good. */
export function deliveryTellable(story: DeliveryStory, identity: string): Tellable {
  const deliveryTo = (target: string): string =>
    createHash('sha256')
      .update(JSON.stringify(['delivery', identity, target]))
      .digest('hex')
      .slice(0, 32);
  return {
    deliveryTo,
    mailFor: (target) => {
      const id = deliveryTo(targetKey(target));
      const blocks = blocksOf(story, target.because);
      return {
        to: target.address,
        subject: story.subject,
        text: `${[[story.headline, story.sentence], ...blocks].map((lines) => lines.join('\n')).join('\n\n')}\n`,
        html: htmlOf(story, blocks),
        id,
        headers: { 'X-Gantry-News': newsOf(story), 'X-Gantry-Delivery': id },
      };
    },
    webhookBody: (delivery) => JSON.stringify(bodyOf(story, delivery)),
  };
}

const newsOf = ({ what }: DeliveryStory): string => `deployment-${what.notice.kind}`;

/** Below headline and sentence. */
function blocksOf(story: DeliveryStory, because: string): readonly (readonly string[])[] {
  const { facts, commits, moreCommits, commands } = story;
  const list =
    commits.length === 0
      ? []
      : [
          'What it brings:',
          ...commits.map(({ commit, title, author }) => `  ${commit.slice(0, 12)}  ${title} (${author})`),
          ...(moreCommits === 0 ? [] : [`  and ${moreCommits} more`]),
        ];
  return [
    columns(facts.map(({ name, value }) => [name, value])),
    list,
    columns(commands.map(({ command, says }) => [command, `# ${says}`])),
    ['-- ', `You are told because ${because}.`],
  ].filter((lines) => lines.length > 0);
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`);
}

const colours = { good: '#067647', bad: '#b42318', asking: '#b54708' } as const;

/** No image, link, script or style sheet: the text as it is, in a frame. */
function htmlOf({ headline, sentence, tone }: DeliveryStory, blocks: readonly (readonly string[])[]): string {
  const rest = blocks.map((lines) => lines.join('\n')).join('\n\n');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>
<body style="margin:0;padding:24px 12px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px">
<div style="font-size:20px;font-weight:600;color:${colours[tone]};overflow-wrap:anywhere">${escapeHtml(headline)}</div>
<p style="overflow-wrap:anywhere">${escapeHtml(sentence)}</p>
<pre style="font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere">${escapeHtml(rest)}</pre>
</body></html>
`;
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
