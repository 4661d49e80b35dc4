import { createHash } from 'node:crypto';
import { base32Of, parseRunId, type ProjectId } from '../../shared/model/ids.js';
import type { RefMove, ReportedMove } from '../../shared/model/project.js';

/** One push is one run, whoever reported it and however often: the run's id is a digest of what the push did. */
export function reportedMove(project: ProjectId, move: RefMove): ReportedMove {
  const identity = ['push', project, move.ref, move.old ?? '', move.new ?? ''].join('\0');
  const run = parseRunId(base32Of(createHash('sha256').update(identity).digest()));
  if (run === undefined) throw new Error('base32Of made something that is no run id');
  return { ...move, run };
}
