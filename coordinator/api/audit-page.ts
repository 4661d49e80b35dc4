/** Pages of the audit, newest first, as far as the caller reaches. */
import type { AuditResponse } from '../../shared/wire/gen/gantry/v1/AuditResponse.js';
import type { AuditLog } from '../access/audit-log.js';
import type { AuditRow } from '../access/audit-rows.js';
import type { Reach } from '../access/reach.js';
import { ApiError } from './api-error.js';

export interface AuditAsked {
  readonly by: string;
  /** Name, id, or the ending of the name. */
  readonly project: string;
  readonly action: string;
  readonly limit: number;
  readonly cursor: string;
}

const maxPage = 100;
const cursorPattern = /^(\d{1,15})\.(\d{1,9})$/;

export function auditPage(audit: AuditLog, asked: AuditAsked, reach: Reach): AuditResponse {
  const { project } = asked;
  const isWanted = (row: AuditRow): boolean => {
    // What is about no project concerns all, and who is limited to some does not see it.
    if (row.project === undefined) return project === '' && !reach.isLimited;
    if (!reach.has(row.project.id)) return false;
    const { id, name } = row.project;
    return project === '' || name === project || id === project || name.endsWith(`/${project}`);
  };
  const { rows, hasMore } = audit.list({
    by: asked.by,
    action: asked.action,
    filter: isWanted,
    limit: asked.limit === 0 ? maxPage : Math.min(asked.limit, maxPage),
    ...(asked.cursor === '' ? {} : { before: placeOf(asked.cursor) }),
  });
  const last = rows.at(-1);
  return {
    rows: rows.map((row) => ({
      sequence: row.sequence,
      at: new Date(row.at).toISOString(),
      by: row.by,
      action: row.action,
      subject: row.subject,
      project: row.project?.name ?? '',
      detail: row.detail,
    })),
    cursor: hasMore && last !== undefined ? `${last.sequence}.${last.place}` : '',
  };
}

function placeOf(cursor: string): { readonly sequence: number; readonly place: number } {
  const [, sequence, place] = cursorPattern.exec(cursor) ?? [];
  if (sequence === undefined || place === undefined) {
    throw new ApiError('invalid', 'cursor: this cursor was not given by an earlier page');
  }
  return { sequence: Number(sequence), place: Number(place) };
}
