/** A run, and lists of runs, as text for people. */
import { describeFailure } from '../../shared/model/failure.js';
import { shortRunId } from '../../shared/model/ids.js';
import type { RunAtCommit } from '../../shared/model/project.js';
import {
  isEnded,
  type RunStatus,
  type RunSummary,
  type RunView,
  type StageView,
} from '../../shared/model/run.js';
import { age, duration, shorten, size, table } from './format.js';
import { colors, type Colors, type Paint } from './output.js';
import { printable } from '../../shared/text/terminal-text.js';

export interface TextOptions {
  readonly color: boolean;
  /** ms since 1970, for durations of what still runs. */
  readonly now: number;
}

const marks: Readonly<Record<RunStatus, string>> = {
  pending: '·',
  waiting: '…',
  running: '▸',
  succeeded: '✓',
  failed: '✗',
  canceled: '–',
  skipped: '–',
};

export function statusPaint(paint: Colors, status: RunStatus): Paint {
  switch (status) {
    case 'succeeded':
      return paint.green;
    case 'failed':
      return paint.red;
    case 'canceled':
      return paint.yellow;
    case 'running':
      return paint.cyan;
    case 'pending':
    case 'waiting':
    case 'skipped':
      return paint.dim;
  }
}

export function runLines(run: RunView, options: TextOptions): readonly string[] {
  const paint = colors(options.color);
  const facts: [string, string][] = [
    ['project', printable(run.project)],
    [
      'commit',
      `${run.commit.slice(0, 12)}${run.branch === null ? '' : ` on ${printable(run.branch)}`}  ${shorten(printable(run.title), 72)}`,
    ],
    [
      'by',
      `${printable(run.by)}${run.author === null ? '' : `, author ${printable(run.author)}`} (${run.event})`,
    ],
    ['submitted', `${run.submittedAt}  (${age(Date.parse(run.submittedAt), options.now)})`],
  ];
  if (run.retryOf !== null) facts.push(['retry of', run.retryOf]);
  return [
    `${paint.bold(`run ${run.run}`)}  ${statusPaint(paint, run.status)(`${marks[run.status]} ${run.status}`)}${took(run, options)}`,
    ...table(facts.map(([key, value]) => [`  ${paint.dim(key)}`, value])),
    ...failureLines(run, paint),
    '',
    ...run.stages.flatMap((stage) => stageLines(stage, options, paint)),
    ...artifactLines(run, paint),
  ];
}

/** Why it could not begin (an invalid pipeline says where, in lines), and since when its branch fails. */
function failureLines(run: RunView, paint: Colors): string[] {
  const lines: string[] = [];
  if (run.failure !== null) {
    const [first = '', ...more] = describeFailure(run.failure).split('\n').map(printable);
    lines.push(`  ${paint.red(`could not begin: ${first}`)}`, ...more.map((line) => `    ${line}`.trimEnd()));
  }
  if (run.failing === null) return lines;
  const { since, lastGreen } = run.failing;
  const green = lastGreen === undefined ? 'never green before' : `last green ${at(lastGreen)}`;
  return [...lines, `  ${paint.red(`failing since ${at(since)}`)}, ${green}`];
}

const at = ({ commit, run }: RunAtCommit): string => `${commit.slice(0, 12)} (run ${shortRunId(run)})`;

function stageLines(stage: StageView, options: TextOptions, paint: Colors): string[] {
  const last = stage.attempts.at(-1);
  const where =
    last === undefined
      ? ''
      : last.takenFrom !== null
        ? `  taken over from run ${shortRunId(last.takenFrom)}`
        : `  on ${printable(last.agentName)}${stage.attempts.length > 1 ? ` (attempt ${last.attempt})` : ''}`;
  const time = last?.startedAt == null ? '' : `  ${between(last.startedAt, last.finishedAt, options)}`;
  const allowed = stage.allowFailure && stage.status === 'failed' ? '  (may fail)' : '';
  const lines = [
    `  ${statusPaint(paint, stage.status)(marks[stage.status])} ${paint.dim(`${stage.number}`)} ${paint.bold(printable(stage.title))}  ${stage.status}${time}${paint.dim(where)}${allowed}`,
  ];
  for (const reason of stage.waitingFor) lines.push(`      ${paint.dim(`waits: ${printable(reason)}`)}`);
  if (stage.whySkipped !== null) lines.push(`      ${paint.dim(printable(stage.whySkipped))}`);
  if (stage.failure !== null) lines.push(`      ${paint.red(printable(describeFailure(stage.failure)))}`);
  for (const attempt of stage.attempts.slice(0, -1)) {
    lines.push(
      `      ${paint.dim(`attempt ${attempt.attempt} on ${printable(attempt.agentName)}: ${attempt.status}${attempt.reason === null ? '' : `, ${printable(attempt.reason)}`}`)}`,
    );
  }
  for (const step of stage.steps) {
    if (step.status === 'pending' || step.status === 'skipped') continue;
    const stepTime = step.startedAt === null ? '' : `  ${between(step.startedAt, step.finishedAt, options)}`;
    const code = step.exitCode === null || step.exitCode === 0 ? '' : `  exit code ${step.exitCode}`;
    lines.push(
      `      ${statusPaint(paint, step.status)(marks[step.status])} ${step.number} ${shorten(printable(step.name), 80)}${paint.dim(stepTime)}${code}`,
    );
    if (step.incomplete !== null)
      lines.push(`        ${paint.yellow(`its log is incomplete: ${printable(step.incomplete)}`)}`);
  }
  return lines;
}

function artifactLines(run: RunView, paint: Colors): string[] {
  if (run.artifacts.length === 0) return [];
  const rows = run.artifacts.map((artifact) => {
    const bytes = artifact.files.reduce((sum, file) => sum + file.size, 0);
    const [first] = artifact.files;
    const files =
      artifact.files.length === 1 && first !== undefined
        ? printable(first.path)
        : `${artifact.files.length} files`;
    return [`  ${printable(artifact.name)}`, printable(artifact.stage), size(bytes), files];
  });
  return ['', paint.dim('artifacts'), ...table(rows)];
}

const between = (start: string, end: string | null, options: TextOptions): string =>
  duration((end === null ? options.now : Date.parse(end)) - Date.parse(start));

function took(run: RunSummary, options: TextOptions): string {
  if (run.startedAt === null) return '';
  return ` ${isEnded(run.status) ? 'in' : 'for'} ${between(run.startedAt, run.finishedAt, options)}`;
}

/** A line each: `k3f7abcd  ✓ succeeded  12 s  main  3 min ago  Fix the parser`. */
export function runTable(
  runs: readonly RunSummary[],
  options: TextOptions & { readonly project: boolean },
): string[] {
  const paint = colors(options.color);
  return table(
    runs.map((run) => [
      paint.bold(shortRunId(run.run)),
      statusPaint(paint, run.status)(`${marks[run.status]} ${run.status}`),
      run.startedAt === null ? '' : between(run.startedAt, run.finishedAt, options),
      paint.dim(age(Date.parse(run.submittedAt), options.now)),
      ...(options.project ? [shorten(printable(run.project), 40)] : []),
      shorten(printable(run.branch ?? ''), 24),
      `${run.commit.slice(0, 8)} ${shorten(printable(run.title), 60)}`,
    ]),
  );
}
