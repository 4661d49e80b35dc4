/** Puts together what people are told of a run. What cannot be had now is left out and said: news that waits is no news. */
import { blameOf, describeFailure } from '../../shared/model/failure.js';
import { maxCommits, type CommitLine } from './commits.js';
import type { StageView } from '../../shared/model/run.js';
import type { Failing, NewsKind } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { EndedRun, EndedRuns } from './ended-runs.js';
import { lastLines, shownLine } from './log-lines.js';
import { maxLineLength, maxLogs, maxStages, type FailedStage, type Story, type StoryLog } from './story.js';

export interface StorySource {
  readonly run: EndedRun;
  readonly news: NewsKind;
  readonly failing?: Failing;
  readonly commits: readonly CommitLine[];
}

/** Read of a log's end: 30 lines of 500 characters, and more for lines that are dropped. */
const logBytes = 32 * 1024;
const logTimeoutMs = 10_000;
const maxFailureLines = 40;

/** Rejects only with the signal's reason. */
export async function gatherStory(
  { run, news, failing, commits }: StorySource,
  runs: EndedRuns,
  signal: AbortSignal,
): Promise<Story> {
  const { view, facts } = run;
  const failed = view.stages.filter((stage) => stage.status === 'failed' && !stage.allowFailure);
  const named = await Promise.all(
    failed.slice(0, maxStages).map(async (stage, index): Promise<FailedStage> => {
      const step = failedStep(stage);
      return {
        number: stage.number,
        title: line(stage.title),
        kind: stage.failure?.kind ?? null,
        reason: stage.failure === null ? 'it failed' : line(describeFailure(stage.failure)),
        isOurs: stage.failure !== null && blameOf(stage.failure) === 'ours',
        step: step === undefined ? null : { number: step.number, name: line(step.name) },
        agent: agentOf(stage),
        log: step === undefined || index >= maxLogs ? null : await logOf(run, stage, step, runs, signal),
      };
    }),
  );
  const name = line(facts.projectName);
  return {
    news,
    run: view.run,
    project: { id: facts.project, name, short: name.split('/').at(-1) ?? name },
    event: facts.event,
    status: view.status,
    branch: lineOrNull(facts.branch),
    tag: lineOrNull(facts.tag),
    commit: facts.commit,
    title: line(facts.title),
    author: lineOrNull(facts.author),
    by: line(facts.by),
    submittedAt: view.submittedAt,
    startedAt: view.startedAt,
    finishedAt: view.finishedAt,
    failure: view.failure === null ? null : { kind: view.failure.kind, lines: failureLines(view.failure) },
    failed: named,
    moreFailed: failed.length - named.length,
    skipped: view.stages.filter((stage) => stage.status === 'skipped').length,
    failing: failing ?? null,
    commits: commits.slice(0, maxCommits).map(({ commit, title, authorName }) => ({
      commit,
      title: line(title),
      author: line(authorName),
    })),
    moreCommits: commits.length >= maxCommits,
  };
}

/** The step that the failure names, else the last one that began. */
function failedStep(stage: StageView): StageView['steps'][number] | undefined {
  const { failure } = stage;
  const number = failure !== null && 'step' in failure ? failure.step : undefined;
  const named = stage.steps.find((step) => step.number === number);
  return named ?? stage.steps.findLast((step) => step.startedAt !== null);
}

function agentOf(stage: StageView): string | null {
  const last = stage.attempts.at(-1);
  return last === undefined ? null : line(last.agentName);
}

async function logOf(
  { view }: EndedRun,
  stage: StageView,
  step: StageView['steps'][number],
  runs: EndedRuns,
  signal: AbortSignal,
): Promise<StoryLog | null> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(logTimeoutMs)]);
  try {
    const what = { run: view.run, stage: stage.number, step: step.number, maxBytes: logBytes };
    const log = lastLines(await runs.logEnd(what, limited));
    return { ...log, missing: log.missing ?? lineOrNull(step.incomplete ?? undefined) };
  } catch (error) {
    signal.throwIfAborted();
    const why = limited.aborted ? `not within ${logTimeoutMs / 1000} s` : messageOf(error);
    return { lines: [], isCut: true, missing: line(`its log could not be read when this was sent: ${why}`) };
  }
}

/** An invalid pipeline says where it is wrong in several lines. */
const failureLines = (failure: NonNullable<EndedRun['view']['failure']>): readonly string[] =>
  describeFailure(failure).split('\n').slice(0, maxFailureLines).map(shownLine);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function line(text: string): string {
  const chars = Array.from(printable(text).trim());
  return chars.length <= maxLineLength ? chars.join('') : `${chars.slice(0, maxLineLength - 1).join('')}…`;
}

const lineOrNull = (text: string | undefined): string | null => (text === undefined ? null : line(text));
