/** The story of a gate as mail and JSON: pure. */
import { describeEjection } from '../../shared/model/ejection.js';
import { describePause, sourceName } from '../../shared/model/gate.js';
import { columns, framedTellable } from './framed-message.js';
import type { GateStory } from './gate-story.js';
import type { FailedStage } from './story.js';
import type { Tellable } from './tellable.js';

/** `identity` names the news for good. */
export const gateTellable = (story: GateStory, identity: string): Tellable =>
  framedTellable({
    about: 'gate',
    identity,
    news: story.news,
    subject: story.subject,
    headline: story.headline,
    color: '#b42318',
    sentence: story.sentence,
    blocks: [
      columns(story.facts.map(({ name, value }) => [name, value])),
      story.lines.map((line) => `  ${line}`),
      ...story.failed.map(stageLines),
      columns(story.commands.map(({ command, says }) => [command, `# ${says}`])),
    ],
    body: (delivery) => bodyOf(story, delivery),
  });

function stageLines({ title, reason, step, log }: FailedStage): readonly string[] {
  const lines = [`${title}: ${reason}`];
  if (step !== null) lines.push(`  step ${step.number}: ${step.name}`);
  if (log === null) return lines;
  if (log.missing !== null) lines.push(`  log: ${log.missing}`);
  return [...lines, ...(log.isCut ? ['  | …'] : []), ...log.lines.map((line) => `  | ${line}`)];
}

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
