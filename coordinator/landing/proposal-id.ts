import { createHash } from 'node:crypto';
import { base32Of, type ProjectId } from '../../shared/model/ids.js';
import type { ReportedMove } from '../../shared/model/project.js';

/**
 * One push of a proposal is one entry, whoever reported it: its id is a digest of the push that brought the ref where it is,
 * and of how often the same push was made before: a proposal that was ejected and its ref deleted may be pushed again.
 */
export function proposalId(project: ProjectId, ref: string, moves: readonly ReportedMove[]): string {
  const last = moves.at(-1);
  const times = moves.filter(({ run }) => run === last?.run).length;
  const identity = ['proposal', project, ref, last?.run ?? '', String(times)].join('\0');
  return base32Of(createHash('sha256').update(identity).digest());
}
