/** A project as people see it in a terminal. */
import type { Project__Output } from '../../../shared/wire/gen/gantry/v1/Project.js';
import type { GateSettings__Output } from '../../../shared/wire/gen/gantry/v1/GateSettings.js';
import { showDuration } from '../../pipeline/duration.js';
import { count, table } from '../format.js';
import { colors } from '../output.js';
import { printable } from '../terminal-text.js';

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
    ['mail may go to', ['known users', ...(settings?.mailDomains ?? [])].join(', ')],
    ...gateRows(settings?.gate),
    ...(settings?.webhooks ?? []).map(
      ({ name, url }) => [`webhook ${name ?? ''}`, printable(url ?? '')] as const,
    ),
    ...(project.branches ?? []).map(({ branch, status, run }) => {
      const word = status === 'failing' ? paint.red('failing') : paint.green(status ?? '');
      return [printable(branch ?? ''), `${word} since run ${(run ?? '').slice(0, 8)}`] as const;
    }),
  ];
  const lines = [
    paint.bold(printable(project.name ?? '')),
    ...table(rows.map(([key, text]) => [`  ${paint.dim(key)}`, text])),
  ];
  const trouble = project.trouble ?? '';
  if (trouble !== '') lines.push(paint.yellow(`  it cannot be read now: ${printable(trouble)}`));
  return lines;
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
