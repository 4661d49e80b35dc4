/**
 * What people are told of a gate, in words: pure. Every text in it is safe to show; which stages failed and the ends of their
 * logs come from the story of the run.
 */
import { describeEjection } from '../../shared/model/ejection.js';
import { describePause, sourceName } from '../../shared/model/gate.js';
import type { Project } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { GateNotice } from '../gate/state.js';
import { short } from './headline.js';
import type { Fact, Typed } from './message-parts.js';
import type { FailedStage } from './story.js';

export interface GateStory {
  readonly news: 'ejected' | 'paused' | 'bypassed';
  readonly project: Project;
  readonly target: string;
  readonly notice: GateNotice;
  readonly subject: string;
  readonly headline: string;
  /** What it means, and what happens now. */
  readonly sentence: string;
  readonly facts: readonly Fact[];
  /** Lines that stand by themselves: files in conflict, what a server or a compiler said. */
  readonly lines: readonly string[];
  readonly failed: readonly FailedStage[];
  readonly commands: readonly Typed[];
}

const maxSubject = 180;
const maxLines = 60;

export function gateStory(of: {
  readonly project: Project;
  readonly target: string;
  readonly notice: GateNotice;
  /** Of the run that failed, as far as it can be read. */
  readonly failed: readonly FailedStage[];
}): GateStory {
  const { project, notice, failed } = of;
  const name = printable(project.name);
  const target = printable(of.target);
  const place = `${name.split('/').at(-1) ?? name} ${target}`;
  const base = { project, target: of.target, notice, news: notice.kind };
  const where: readonly Fact[] = [
    { name: 'project', value: name },
    { name: 'target', value: target },
  ];
  // For a shell: the id names the project whatever people called it.
  const show: Typed = { command: `gantry gate show ${project.id}`, says: 'the queue, and what it waits for' };
  switch (notice.kind) {
    case 'ejected': {
      const { entry, ejection } = notice;
      const source = printable(sourceName(entry.source));
      const words = oneLine(describeEjection(ejection));
      const run = 'run' in ejection ? ejection.run : undefined;
      return {
        ...base,
        subject: short(
          `[gantry] ${place}: ${source} was not integrated – "${short(printable(entry.title), 80)}"`,
          maxSubject,
        ),
        headline: `not integrated: ${source}`,
        sentence: `${source} was taken out of the queue of ${target}: ${words}. Nothing of it is on ${target}.`,
        facts: [
          ...where,
          { name: 'change', value: `${entry.commit.slice(0, 12)}  ${short(printable(entry.title), 120)}` },
          { name: 'author', value: printable(entry.author ?? '') },
          { name: 'queued by', value: printable(entry.by) },
          { name: 'run', value: run ?? '' },
        ].filter(({ value }) => value !== ''),
        lines: linesOf(notice),
        failed,
        commands: [
          ...failed.slice(0, 3).map(({ number, title }) => ({
            command: `gantry logs ${run ?? ''} ${number}`,
            says: `the whole log of ${title}`,
          })),
          { command: queueAgain(notice), says: 'queue it again, when it is mended' },
          show,
        ],
      };
    }
    case 'paused': {
      const words = oneLine(describePause(notice.pause));
      return {
        ...base,
        subject: short(`[gantry] ${place}: the gate stands still – ${words}`, maxSubject),
        headline: `the gate of ${target} stands still`,
        sentence: `Nothing lands on ${target} until somebody resumes it: ${words}. The queue is kept.`,
        facts: where,
        lines: linesOf(notice),
        failed,
        commands: [show, { command: `gantry gate resume ${project.id}`, says: 'go on, when it is mended' }],
      };
    }
    case 'bypassed': {
      const by = notice.by.length === 0 ? 'somebody' : notice.by.map(printable).join(', ');
      const range = `${notice.from.slice(0, 12)}..${notice.to.slice(0, 12)}`;
      return {
        ...base,
        subject: short(`[gantry] ${place}: pushed past the gate by ${by}`, maxSubject),
        headline: `${target} was pushed to past the gate`,
        sentence: `Commits of ${by} are on ${target} that no run of the gate has tested. The queue is built again on them.`,
        facts: [...where, { name: 'commits', value: range }, { name: 'committers', value: by }],
        lines: [],
        failed,
        commands: [
          show,
          {
            command: `gantry gate protect ${project.id}`,
            says: 'the hook that lets only the gate push there',
          },
        ],
      };
    }
  }
}

function linesOf(notice: Exclude<GateNotice, { kind: 'bypassed' }>): readonly string[] {
  const text = ((): string => {
    if (notice.kind === 'paused') return notice.pause.kind === 'refused' ? notice.pause.message : '';
    const { ejection } = notice;
    switch (ejection.kind) {
      case 'conflict':
        return ejection.files.join('\n');
      case 'refused':
      case 'commit-missing':
        return ejection.message;
      case 'failed':
        return ejection.failure?.kind === 'invalid-pipeline' ? ejection.failure.message : '';
      default:
        return '';
    }
  })();
  return text
    .split('\n')
    .slice(0, maxLines)
    .map((line) => short(printable(line), 500))
    .filter((line) => line !== '');
}

/** Names stand in quotes: a branch may be called anything that git allows. */
function queueAgain({ entry }: Extract<GateNotice, { kind: 'ejected' }>): string {
  return entry.source.kind === 'branch'
    ? `gantry land ${quoted(sourceName(entry.source))}`
    : `git push origin HEAD:${quoted(entry.source.ref)}`;
}

const quoted = (name: string): string =>
  /^[A-Za-z0-9._/@+-]+$/.test(name) ? name : `'${printable(name).replaceAll("'", String.raw`'\''`)}'`;

const oneLine = (text: string): string => short(printable(text.split('\n')[0] ?? ''), 300);
