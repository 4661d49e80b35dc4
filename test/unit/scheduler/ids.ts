/** Short ways to name things in tests of the core. */
import type { Command } from '../../../coordinator/scheduler/command.js';
import type { StageOutline } from '../../../shared/model/event.js';
import {
  parseAgentId,
  parseCommitId,
  parseInstanceId,
  parseProjectId,
  parseRunId,
  parseSha256,
  parseToken,
  type AgentId,
  type InstanceId,
  type ProjectId,
  type RunId,
  type Sha256,
  type Token,
} from '../../../shared/model/ids.js';
import type { RunFacts } from '../../../shared/model/pipeline.js';

const letters = (n: number): string =>
  n
    .toString(26)
    .split('')
    .map((digit) => String.fromCharCode(97 + parseInt(digit, 26)))
    .join('')
    .padStart(16, 'a');

export const runId = (n: number): RunId => parseRunId(letters(n))!;
export const agentId = (n: number): AgentId => parseAgentId(letters(n))!;
export const projectId = (n: number): ProjectId => parseProjectId(letters(n))!;
export const instanceId = (n: number): InstanceId => parseInstanceId(letters(n))!;
export const sha = (n: number): Sha256 => parseSha256(n.toString(16).padStart(64, '0'))!;
export const token = (n: number): Token => parseToken(n)!;

export function outline(number: number, changes: Partial<StageOutline> = {}): StageOutline {
  return {
    number,
    name: `stage${number}`,
    cell: {},
    needs: [],
    labels: ['os=linux'],
    allowFailure: false,
    maxAttempts: 3,
    timeoutMs: 60_000,
    steps: ['one', 'two'],
    ...changes,
  };
}

export function facts(changes: Partial<RunFacts> = {}): RunFacts {
  return {
    event: 'submit',
    trust: 'submit',
    project: projectId(1),
    projectName: 'https://example.org/app',
    commit: parseCommitId('1'.repeat(40))!,
    title: 'a change',
    by: 'ada',
    inputs: {},
    ...changes,
  };
}

export const submission = (
  n: number,
  stages: readonly StageOutline[],
  changes: Partial<RunFacts> = {},
): Extract<Command, { kind: 'Submit' }> => ({
  kind: 'Submit',
  run: runId(n),
  digest: sha(n),
  facts: facts(changes),
  stages,
});
