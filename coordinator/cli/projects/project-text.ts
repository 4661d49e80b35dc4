/** A project as people see it in a terminal. */
import type { Project__Output } from '../../../shared/wire/gen/gantry/v1/Project.js';
import type { GateSettings__Output } from '../../../shared/wire/gen/gantry/v1/GateSettings.js';
import { showDuration } from '../../pipeline/duration.js';
import { count, padEnd, table, visible } from '../format.js';
import { colors } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';

export function projectTable(projects: readonly Project__Output[], color: boolean): string[] {
  const paint = colors(color);
  const head = ['NAME', 'ID', 'BRANCHES', 'POLLED', ''].map((word) => paint.dim(word));
  return table([
    head,
    ...projects.map((project) => {
      const failing = (project.branches ?? []).filter(({ status }) => status === 'failing');
      const trouble = project.trouble ?? '';
      return [
        paint.bold(printable(project.name ?? '')),
        (project.id ?? '').slice(0, 8),
        failing.length === 0
          ? (project.branches ?? []).length === 0
            ? paint.dim('not built yet')
            : paint.green('green')
          : paint.red(`${failing.map(({ branch }) => printable(branch ?? '')).join(', ')} failing`),
        pollText(project),
        trouble === '' ? '' : paint.yellow(printable(trouble)),
      ];
    }),
  ]);
}

export function projectText(project: Project__Output, color: boolean): string[] {
  const paint = colors(color);
  const { settings } = project;
  const rows: (readonly [string, string])[] = [
    ['id', project.id ?? ''],
    ['repository', printable(project.url ?? '')],
    ['default branch', printable(usual(settings?.defaultBranch, project.head))],
    ['refs', count(project.refs ?? 0, 'ref')],
    ['polled', pollText(project)],
    ['superseded runs', settings?.cancelSuperseded === true ? 'are canceled' : 'go on'],
    ['read with', or(project.fetchCredential, 'no credential')],
    ['pushed with', or(project.pushCredential, 'no credential')],
    ...(project.registries ?? []).map(
      ({ host, user }) => ['registry', `${printable(host ?? '')} as ${printable(user ?? '')}`] as const,
    ),
    ['mail may go to', ['known users', ...(settings?.mailDomains ?? [])].join(', ')],
    ...gateRows(settings?.gate),
    ...(settings?.webhooks ?? []).map(
      ({ name, url }) => ['webhook', `${name ?? ''}: ${printable(url ?? '')}`] as const,
    ),
    ...(project.branches ?? []).map(({ branch, status, run }) => {
      const word = status === 'failing' ? paint.red('failing') : paint.green(status ?? '');
      return ['branch', `${printable(branch ?? '')}: ${word} since run ${(run ?? '').slice(0, 8)}`] as const;
    }),
  ];
  const keys = Math.max(...rows.map(([key]) => key.length));
  const lines = [
    paint.bold(printable(project.name ?? '')),
    ...rows.flatMap(([key, text]) =>
      hanging(`  ${padEnd(paint.dim(key), keys)}  `, text).map((line) => line.trimEnd()),
    ),
  ];
  const trouble = project.trouble ?? '';
  if (trouble !== '')
    lines.push(...hanging('  ', `it cannot be read now: ${printable(trouble)}`).map(paint.yellow));
  return lines;
}

const width = 80;

/** In lines that fit a terminal; a word that is too long for one (a URL, to be copied) has one for itself. */
function hanging(start: string, text: string): readonly string[] {
  const lines: string[] = [];
  let line = start;
  for (const word of text.split(' ')) {
    const isFirst = line === start || line.trim() === '';
    if (!isFirst && visible(line) + 1 + visible(word) > width) {
      lines.push(line);
      line = ' '.repeat(visible(start)) + word;
    } else line += isFirst ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** What to do once a project is there; whole, so that it can be copied. */
export function nextForProject(project: Pick<Project__Output, 'name'>): readonly string[] {
  const name = printable(project.name ?? '');
  return table([
    [`  gantry runs --project ${name}`, 'its runs'],
    [`  gantry projects hook ${name}`, 'hear of pushes at once'],
  ]);
}

function gateRows(gate: GateSettings__Output | null | undefined): readonly (readonly [string, string])[] {
  if (gate === null || gate === undefined) return [];
  const { require = [], targets = [], depth = 1, method = '', hangLimitMs = 0, seesSecrets = false } = gate;
  return [
    ['gate guards', targets.length === 0 ? 'what is queued for' : targets.map(printable).join(', ')],
    ['gate requires', require.length === 0 ? 'that the run succeeds' : require.map(printable).join(', ')],
    [
      'gate tests',
      `${count(depth, 'change')} at once, lands by ${method}, at most ${showDuration(hangLimitMs)} each`,
    ],
    ['gate secrets', seesSecrets ? 'runs of the gate get secrets' : 'none'],
  ];
}

const or = (text: string | undefined, otherwise: string): string =>
  text === undefined || text === '' ? otherwise : text;
const usual = (setting: string | undefined, head: string | undefined): string =>
  or(setting, or(head, 'not known yet'));

function pollText({ settings }: Project__Output): string {
  const ms = settings?.pollMs ?? 0;
  return ms === 0 ? 'never' : `every ${showDuration(ms)}`;
}
