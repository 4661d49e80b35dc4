/** Makes what is sent of a story: for one address, for one webhook. */
import type { Story } from './story.js';
import type { MailMessage } from './deliverer.js';
import { deliveryId } from './delivery-id.js';
import { subjectOf } from './headline.js';
import { messageHtml } from './message-html.js';
import { messageText } from './message-text.js';
import { targetKey, type Target } from './target.js';

export function mailOf(story: Story, target: Extract<Target, { kind: 'mail' }>): MailMessage {
  const key = targetKey(target);
  const first = story.failing?.since.run;
  // One failure is one thread, from the first message to "fixed".
  const thread = first === undefined || first === story.run ? undefined : deliveryId(first, key, 'failed');
  const id = deliveryId(story.run, key, story.news);
  return {
    to: target.address,
    subject: subjectOf(story),
    text: messageText(story, target.because),
    html: messageHtml(story, target.because),
    id,
    ...(thread === undefined ? {} : { inReplyTo: thread }),
    headers: { 'X-Gantry-News': story.news, 'X-Gantry-Run': story.run, 'X-Gantry-Delivery': id },
  };
}

/** The body of a webhook: see the README for its receivers. */
export function webhookBody(story: Story, id: string): string {
  const { project, failing } = story;
  return JSON.stringify({
    v: 1,
    delivery: id,
    news: story.news,
    project: { id: project.id, name: project.name },
    run: {
      id: story.run,
      status: story.status,
      event: story.event,
      branch: story.branch,
      tag: story.tag,
      commit: story.commit,
      title: story.title,
      author: story.author,
      by: story.by,
      submittedAt: story.submittedAt,
      startedAt: story.startedAt,
      finishedAt: story.finishedAt,
    },
    failure:
      story.failure === null ? null : { kind: story.failure.kind, message: story.failure.lines.join('\n') },
    stages: story.failed.map((stage) => ({
      number: stage.number,
      title: stage.title,
      failure: { kind: stage.kind, message: stage.reason, ours: stage.isOurs },
      step: stage.step,
      agent: stage.agent,
      log:
        stage.log === null
          ? null
          : { lines: stage.log.lines, cut: stage.log.isCut, missing: stage.log.missing },
    })),
    moreStages: story.moreFailed,
    failing: failing === null ? null : { since: failing.since, lastGreen: failing.lastGreen ?? null },
    commits: story.commits,
    moreCommits: story.moreCommits,
  });
}
