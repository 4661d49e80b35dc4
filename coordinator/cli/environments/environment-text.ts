/** Environments as people see them in a terminal of 80 columns. */
import type { EnvironmentSettings } from '../../../shared/model/environment.js';
import type { DeploymentStatus, EnvironmentView } from '../../../shared/model/environment-view.js';
import { shortRunId } from '../../../shared/model/ids.js';
import { age, count, shorten, table } from '../format.js';
import { colors, type Colors, type Paint } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { nextCommands } from './next-commands.js';
import type { NewCommits, ShownDeployment, ShownEnvironment } from './environment-from-wire.js';
import { wrapped } from './wrapped.js';

export interface TextOptions {
  readonly color: boolean;
  /** ms since 1970. */
  readonly now: number;
}

const shownHistory = 10;
const shownCommits = 8;
const width = 80;

export const shortCommit = (commit: string): string => commit.slice(0, 10);

/** By project, and in the order in which what is deployed goes through them. */
export function inOrder<T extends Pick<ShownEnvironment, 'projectName' | 'environment' | 'settings'>>(
  environments: readonly T[],
): readonly T[] {
  const depthOf = ({ projectName, settings }: T): number => {
    let depth = 0;
    for (let from = settings.promotesFrom; from !== undefined && depth < environments.length; depth += 1) {
      from = environments.find((other) => other.projectName === projectName && other.environment === from)
        ?.settings.promotesFrom;
    }
    return depth;
  };
  const key = (one: T): readonly [string, number, string] => [one.projectName, depthOf(one), one.environment];
  return [...environments].sort((a, b) => {
    const [[project, depth, name], [otherProject, otherDepth, otherName]] = [key(a), key(b)];
    return project.localeCompare(otherProject) || depth - otherDepth || name.localeCompare(otherName);
  });
}

export function environmentTable(
  environments: readonly ShownEnvironment[],
  { color, now }: TextOptions,
): string[] {
  const paint = colors(color);
  const hasProjects = new Set(environments.map(({ projectName }) => projectName)).size > 1;
  const head = ['ENVIRONMENT', 'STATUS', 'COMMIT', 'SINCE', 'BY', 'RUN', 'WAITING'];
  const rows = inOrder(environments).map((one) => {
    const { projectName, environment, status, current, open } = one;
    const there = current === null || current.beganAt === null ? undefined : current;
    return [
      ...(hasProjects ? [shorten(printable(lastPart(projectName)), 16)] : []),
      paint.bold(shorten(printable(environment), 16)),
      statusPaint(paint, status)(status),
      there === undefined ? paint.dim('nothing') : shortCommit(there.commit),
      there === undefined ? '' : age(Date.parse(there.beganAt ?? ''), now),
      there === undefined ? '' : shorten(printable(there.by), 12),
      there === undefined ? '' : shortRunId(there.run),
      waitingText(open),
    ];
  });
  return table([[...(hasProjects ? ['PROJECT'] : []), ...head].map((word) => paint.dim(word)), ...rows]);
}

const lastPart = (name: string): string => name.split('/').at(-1) ?? name;

function waitingText(open: readonly ShownDeployment[]): string {
  const approvals = open.filter(({ status }) => status === 'approval').length;
  const others = open.filter(({ status }) => status === 'waiting' || status === 'queued').length;
  if (approvals > 0) return 'approval';
  return others === 0 ? '' : String(others);
}

export function statusPaint(paint: Colors, status: EnvironmentView['status'] | DeploymentStatus): Paint {
  switch (status) {
    case 'free':
    case 'verified':
      return paint.green;
    case 'busy':
    case 'starting':
    case 'running':
    case 'verifying':
      return paint.cyan;
    case 'held':
    case 'approval':
    case 'canceled':
    case 'superseded':
    case 'expired':
      return paint.yellow;
    case 'unknown':
    case 'failed':
    case 'refused':
    case 'rejected':
      return paint.red;
    case 'waiting':
    case 'queued':
      return paint.dim;
  }
}

/** One environment whole: what is there, what waits, what was, and what to type next. */
export function environmentText(environment: ShownEnvironment, options: TextOptions): string[] {
  const paint = colors(options.color);
  const { projectName, status, holds, current, lastVerified, open, history } = environment;
  const lines = [
    `${paint.bold(printable(environment.environment))} ${statusPaint(paint, status)(status)}  ${paint.dim(printable(projectName))}`,
    ...table(settingsRows(environment.settings).map(([key, text]) => [`  ${paint.dim(key)}`, text])),
  ];
  for (const hold of holds) lines.push(...indented(hold, 2, paint.yellow));
  lines.push('', paint.dim('there now'));
  if (current === null) lines.push('  nothing was deployed yet');
  else lines.push(...deploymentLines(current, options, paint));
  if (lastVerified !== null) {
    lines.push('', paint.dim('last verified'), ...deploymentLines(lastVerified, options, paint));
  }
  const others = open.filter(({ deployment }) => deployment !== current?.deployment);
  if (others.length > 0) lines.push('', paint.dim('to come'));
  for (const deployment of others) lines.push(...deploymentLines(deployment, options, paint));
  if (history.length > 0) lines.push('', paint.dim('history'), ...historyLines(history, options, paint));
  const next = nextCommands(environment);
  if (next.length > 0) {
    lines.push('', paint.dim('next'));
    lines.push(...table(next.map(([command, what]) => [`  ${command}`, paint.dim(what)])));
  }
  return lines;
}

export function settingsRows(settings: EnvironmentSettings): readonly (readonly [string, string])[] {
  const { url, approval, branches, promotesFrom, differs, rollsBack, verify, notify } = settings;
  const list = (items: readonly string[]): string => shorten(items.map(printable).join(', '), 60);
  const rows: [string, string][] = [];
  if (url !== undefined) rows.push(['url', printable(url)]);
  rows.push(['approval', approvalText(approval)]);
  if (promotesFrom !== undefined)
    rows.push(['takes', `what ${printable(promotesFrom)} has verified, the same by digest`]);
  rows.push(['branches', branches.length > 0 ? list(branches) : 'the default branch']);
  if (verify.length > 0) rows.push(['verify', list(verify)]);
  rows.push(['bad verify', rollsBack ? 'rolls back by itself' : 'waits for somebody']);
  if (differs.length > 0) rows.push(['may differ', list(differs)]);
  if (notify.length > 0) rows.push(['tells', list(notify)]);
  return rows;
}

function approvalText(approval: EnvironmentSettings['approval']): string {
  if (approval === undefined) return 'none: what is green goes there by itself';
  const { by, notAuthor } = approval;
  const who = by.length === 0 ? 'an admin' : by.map(printable).join(' or ');
  return `of ${who}${notAuthor ? ', not of an author' : ''}`;
}

/** `#12 verified 1a2b3c4d5e Add the login`, then who, when and what it brought. */
export function deploymentLines(view: ShownDeployment, options: TextOptions, paint: Colors): string[] {
  const { deployment, status, commit, title, reason, late, waitingFor, commits } = view;
  const head = `  ${paint.bold(`#${deployment}`)} ${statusPaint(paint, status)(status)} ${shortCommit(commit)} `;
  const lines = [
    `${head}${shorten(printable(title), width - 4 - `#${deployment} ${status} ${shortCommit(commit)} `.length)}`,
    ...indented(factsText(view, options.now), 6, paint.dim),
  ];
  for (const waits of waitingFor) lines.push(...indented(waits, 6));
  if (reason !== null && status !== 'verified')
    lines.push(...indented(reason, 6, statusPaint(paint, status)));
  if (view.isDisavowed) lines.push(...indented('a rollback went back behind it', 6, paint.yellow));
  if (late !== null) lines.push(...indented(`its agent said later: ${late}`, 6, paint.yellow));
  return [...lines, ...commitLines(commits, view, paint)];
}

function factsText(view: ShownDeployment, now: number): string {
  const { beganAt, requestedAt, by, approvedBy, run, branch, rollbackOf, forced } = view;
  const at = beganAt ?? requestedAt;
  return [
    `${beganAt === null ? 'asked for' : 'since'} ${age(Date.parse(at), now)} (${minute(at)})`,
    `by ${by}`,
    ...(approvedBy === null ? [] : [`approved by ${approvedBy}`]),
    `run ${shortRunId(run)}`,
    ...(branch === null ? [] : [`of ${branch}`]),
    ...(rollbackOf === null ? [] : [`a rollback to #${rollbackOf}`]),
    ...(forced === null ? [] : [`forced by ${forced}`]),
  ].join(', ');
}

/** `2026-11-27 20:10` UTC. */
const minute = (iso: string): string => iso.slice(0, 16).replace('T', ' ');

function commitLines(commits: NewCommits | null, view: ShownDeployment, paint: Colors): string[] {
  if (commits === null || commits.since === null) return [];
  const { length } = commits.commits;
  if (length === 0) {
    return view.rollbackOf === null && commits.since !== view.commit ? [] : ['      no new commits'];
  }
  const shown = commits.commits.slice(0, shownCommits);
  const rest = length - shown.length;
  const more = commits.more ? 'and more' : `and ${rest} more`;
  return [
    `      ${newText(commits)}:`,
    ...shown.map(
      ({ commit, title }) =>
        `        ${paint.dim(shortCommit(commit))} ${shorten(printable(title), width - 19)}`,
    ),
    ...(rest > 0 || commits.more ? [`        ${more}`] : []),
  ];
}

const newText = ({ commits, more }: NewCommits): string =>
  more ? `more than ${commits.length} new commits` : count(commits.length, 'new commit');

function historyLines(
  history: readonly ShownDeployment[],
  { now }: TextOptions,
  paint: Colors,
): readonly string[] {
  const rows = history
    .slice(0, shownHistory)
    .map((view) => [
      `  #${view.deployment}`,
      statusPaint(paint, view.status)(view.status),
      shortCommit(view.commit),
      age(Date.parse(view.beganAt ?? view.endedAt ?? view.requestedAt), now),
      shorten(printable(view.by), 12),
      shortRunId(view.run),
      shorten(broughtText(view), 22),
    ]);
  const head = ['  ', 'STATUS', 'COMMIT', 'WHEN', 'BY', 'RUN', 'NEW'].map((word) => paint.dim(word));
  const older = history.length - rows.length;
  return [...table([head, ...rows]), ...(older > 0 ? [paint.dim(`  and ${count(older, 'older one')}`)] : [])];
}

function broughtText({ commits, rollbackOf, beganAt }: ShownDeployment): string {
  if (rollbackOf !== null) return `rollback to #${rollbackOf}`;
  if (beganAt === null) return 'never began';
  if (commits === null) return '';
  if (commits.since === null) return 'the first one';
  return commits.more ? `${commits.commits.length}+ commits` : count(commits.commits.length, 'commit');
}

const indented = (text: string, by: number, paint: Paint = (line) => line): string[] =>
  wrapped(printable(text), width - by).map((line) => `${' '.repeat(by)}${paint(line)}`);
