/** Users, tokens and audit rows as people see them. What others wrote is made printable. */
import type { AuditRow__Output } from '../../../shared/wire/gen/gantry/v1/AuditRow.js';
import type { Token__Output } from '../../../shared/wire/gen/gantry/v1/Token.js';
import type { User__Output } from '../../../shared/wire/gen/gantry/v1/User.js';
import { age, shorten, table } from '../format.js';
import { colors } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';

const secretsText = (user: User__Output): string =>
  user.role === 'admin' || user.mayUseSecrets === true ? 'secrets' : '';

const projectsText = (projects: readonly string[] | undefined): string =>
  projects === undefined || projects.length === 0 ? 'all projects' : printable(projects.join(' '));

export function userTable(users: readonly User__Output[], color: boolean): string[] {
  const paint = colors(color);
  const head = ['NAME', 'ROLE', 'MAIL', 'PROJECTS', ''].map((word) => paint.dim(word));
  return table([
    head,
    ...users.map((user) => [
      paint.bold(printable(user.name ?? '')),
      user.role === 'admin' ? paint.yellow('admin') : printable(user.role ?? ''),
      printable((user.mails ?? []).join(' ')),
      projectsText(user.projects),
      secretsText(user),
    ]),
  ]);
}

export function tokenTable(
  tokens: readonly Token__Output[],
  look: { color: boolean; now: number },
): string[] {
  const { color, now } = look;
  const paint = colors(color);
  const head = ['ID', 'USER', 'SCOPE', 'PROJECTS', 'EXPIRES', 'LAST USED', 'NOTE'].map((word) =>
    paint.dim(word),
  );
  return table([
    head,
    ...tokens.map((token) => [
      token.id ?? '',
      paint.bold(printable(token.user ?? '')),
      token.scope === 'admin' ? paint.yellow('admin') : printable(token.scope ?? ''),
      projectsText(token.projects),
      (token.expiresAt ?? '') === '' ? 'never' : (token.expiresAt ?? '').slice(0, 10),
      lastUse(token.lastUsedAt ?? '', now),
      printable(token.note ?? ''),
    ]),
  ]);
}

/** It is known to the hour only. */
const lastUse = (at: string, now: number): string => {
  if (at === '') return 'never';
  return now - Date.parse(at) < 3_600_000 ? 'this hour' : age(Date.parse(at), now);
};

export function auditTable(rows: readonly AuditRow__Output[], color: boolean): string[] {
  const paint = colors(color);
  const head = ['AT', 'BY', 'ACTION', 'SUBJECT', 'DETAIL'].map((word) => paint.dim(word));
  return table([
    head,
    ...rows.map((row) => [
      (row.at ?? '').slice(0, 19).replace('T', ' '),
      paint.bold(printable(shorten(row.by ?? '', 40))),
      printable(row.action ?? ''),
      printable(shorten(row.subject ?? '', 60)),
      printable(shorten(detailOf(row), 120)),
    ]),
  ]);
}

const detailOf = ({ project, detail, subject }: AuditRow__Output): string =>
  [project === subject ? '' : project, detail].filter((part) => part !== undefined && part !== '').join(': ');
