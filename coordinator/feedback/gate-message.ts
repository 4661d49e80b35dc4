/** The story of a gate as mail and JSON: pure. */
import { createHash } from 'node:crypto';
import { describeEjection } from '../../shared/model/ejection.js';
import { describePause, sourceName } from '../../shared/model/gate.js';
import type { GateStory } from './gate-story.js';
import { escapeHtml } from './message-html.js';
import type { FailedStage } from './story.js';
import { targetKey } from './target.js';
import type { Tellable } from './tellable.js';

/** `identity` names the news for good. */
export function gateTellable(story: GateStory, identity: string): Tellable {
  const deliveryTo = (target: string): string =>
    createHash('sha256')
      .update(JSON.stringify(['gate', identity, target]))
      .digest('hex')
      .slice(0, 32);
  return {
    deliveryTo,
    mailFor: (target) => {
      const id = deliveryTo(targetKey(target));
      const text = textOf(story, target.because);
      return {
        to: target.address,
        subject: story.subject,
        text,
        html: htmlOf(story, text),
        id,
        headers: { 'X-Gantry-News': story.news, 'X-Gantry-Delivery': id },
      };
    },
    webhookBody: (delivery) => JSON.stringify(bodyOf(story, delivery)),
  };
}

function textOf(story: GateStory, because: string): string {
  const blocks = [
    [story.headline.toUpperCase(), story.sentence],
    columns(story.facts.map(({ name, value }) => [name, value])),
    story.lines.map((line) => `  ${line}`),
    ...story.failed.map(stageLines),
    columns(story.commands.map(({ command, says }) => [command, `# ${says}`])),
    ['-- ', `You are told because ${because}.`],
  ];
  return `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n')}\n`;
}

function stageLines({ title, reason, step, log }: FailedStage): readonly string[] {
  const lines = [`${title}: ${reason}`];
  if (step !== null) lines.push(`  step ${step.number}: ${step.name}`);
  if (log === null) return lines;
  if (log.missing !== null) lines.push(`  log: ${log.missing}`);
  return [...lines, ...(log.isCut ? ['  | …'] : []), ...log.lines.map((line) => `  | ${line}`)];
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`);
}

/** No image, link, script or style sheet: the text as it is, in a frame. */
const htmlOf = ({ headline, sentence }: GateStory, text: string): string => {
  const rest = text.split('\n\n').slice(1).join('\n\n');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>
<body style="margin:0;padding:24px 12px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px">
<div style="font-size:20px;font-weight:600;color:#b42318;overflow-wrap:anywhere">${escapeHtml(headline)}</div>
<p style="overflow-wrap:anywhere">${escapeHtml(sentence)}</p>
<pre style="font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere">${escapeHtml(rest)}</pre>
</body></html>
`;
};

function bodyOf(story: GateStory, delivery: string) {
  const { notice, project } = story;
  const base = {
    v: 1,
    delivery,
    news: `gate-${story.news}`,
    project: { id: project.id, name: project.name },
    target: story.target,
    headline: story.headline,
    sentence: story.sentence,
  };
  switch (notice.kind) {
    case 'ejected': {
      const { entry, ejection } = notice;
      return {
        ...base,
        entry: {
          id: entry.entry,
          commit: entry.commit,
          source: sourceName(entry.source),
          title: entry.title,
          author: entry.author ?? null,
          by: entry.by,
        },
        reason: { kind: ejection.kind, message: describeEjection(ejection) },
        run: 'run' in ejection ? ejection.run : null,
        files: ejection.kind === 'conflict' ? ejection.files : [],
        stages: story.failed.map(({ number, title, kind, reason, step, log }) => ({
          number,
          title,
          failure: { kind, message: reason },
          step,
          log: log === null ? null : { lines: log.lines, cut: log.isCut, missing: log.missing },
        })),
      };
    }
    case 'paused':
      return { ...base, reason: { kind: notice.pause.kind, message: describePause(notice.pause) } };
    case 'bypassed':
      return { ...base, from: notice.from, to: notice.to, by: notice.by };
  }
}
