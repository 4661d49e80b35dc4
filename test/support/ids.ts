/** Identifiers for tests: the n-th of its kind. */
import { createHash } from 'node:crypto';

import {
  base32Of,
  parseAgentId,
  parseCommitId,
  parseInstanceId,
  parseProjectId,
  parseRunId,
  parseToken,
  type AgentId,
  type CommitId,
  type InstanceId,
  type ProjectId,
  type RunId,
  type Token,
} from '../../shared/model/ids.js';

const digest = (kind: string, n: number): Buffer => createHash('sha256').update(`${kind} ${n}`).digest();
const sure = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('no identifier');
  return value;
};

export const runId = (n: number): RunId => sure(parseRunId(base32Of(digest('run', n))));
export const agentId = (n: number): AgentId => sure(parseAgentId(base32Of(digest('agent', n))));
export const instanceId = (n: number): InstanceId => sure(parseInstanceId(base32Of(digest('instance', n))));
export const projectId = (n: number): ProjectId => sure(parseProjectId(base32Of(digest('project', n))));
export const commitId = (n: number): CommitId =>
  sure(parseCommitId(digest('commit', n).toString('hex').slice(0, 40)));
export const token = (n: number): Token => sure(parseToken(n));
