import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { exitCodeOfRun } from '../../../coordinator/cli/follow/run-end.js';
import { explain } from '../../../coordinator/cli/grpc-explain.js';
import type { Failure } from '../../../shared/model/failure.js';
import type { RunStatus, StageStatus, StageView } from '../../../shared/model/run.js';

const stage = (status_: StageStatus, failure: Failure | null = null, allowFailure = false): StageView => ({
  number: 1,
  name: 's',
  cell: {},
  title: 's',
  status: status_,
  allowFailure,
  needs: [],
  waitingFor: [],
  whySkipped: null,
  failure,
  attempts: [],
  steps: [],
});
const theirs: Failure = { kind: 'exit-code', step: 1, exitCode: 3 };
const ours: Failure = { kind: 'agent-lost', agent: 'a', message: 'no heartbeat' };

describe('the exit code of a run', () => {
  it.each<[string, RunStatus, StageView[], number]>([
    ['succeeded', 'succeeded', [stage('succeeded')], 0],
    ['succeeded with a failure that is allowed', 'succeeded', [stage('failed', theirs, true)], 0],
    ['canceled', 'canceled', [stage('canceled')], 6],
    ['failed by the change', 'failed', [stage('failed', theirs)], 1],
    ['failed by us', 'failed', [stage('succeeded'), stage('failed', ours)], 7],
    [
      'failed by us, beside a failure of theirs that is allowed',
      'failed',
      [stage('failed', theirs, true), stage('failed', ours)],
      7,
    ],
    ['failed by both', 'failed', [stage('failed', ours), stage('failed', theirs)], 1],
    ['failed without a reason', 'failed', [stage('failed')], 1],
  ])('of one that %s', (_what, run, stages, code) => {
    expect(exitCodeOfRun({ status: run, stages })).toBe(code);
  });
});

describe('what a gRPC status means', () => {
  const connection = { address: 'ci:7420', from: 'GANTRY_COORDINATOR', token: 'x' } as const;
  it.each<[keyof typeof status, string, number, RegExp]>([
    ['INVALID_ARGUMENT', 'no such thing', 2, /^no such thing$/],
    ['NOT_FOUND', 'no run', 4, /^no run$/],
    ['UNAUTHENTICATED', 'expired', 5, /does not accept the token: expired/],
    ['PERMISSION_DENIED', 'nope', 5, /not allowed: nope/],
    ['FAILED_PRECONDITION', 'has ended', 5, /^has ended$/],
    ['UNIMPLEMENTED', 'unknown method', 5, /does not know this command/],
    ['INTERNAL', 'bug', 7, /failed: bug/],
    [
      'UNAVAILABLE',
      'No connection established. Last error: connect ECONNREFUSED 10.0.0.1:7420',
      3,
      /no coordinator answers at ci:7420 \(connect ECONNREFUSED 10\.0\.0\.1:7420\)/,
    ],
    [
      'UNAVAILABLE',
      'No connection established. Last error: Error: unable to verify the first certificate. Resolution note: ',
      3,
      /\(unable to verify the first certificate\)$/,
    ],
    [
      'UNAVAILABLE',
      'No connection established. Last error: Failed to connect (2026-11-24T23:58:59.099Z). Resolution note: ',
      3,
      /\(Failed to connect\)$/,
    ],
    ['UNAVAILABLE', 'no leader now', 3, /cannot answer now: no leader now/],
    ['DEADLINE_EXCEEDED', 'Deadline exceeded', 3, /does not answer in time/],
  ])('%s %j', (code, details, exitCode, message) => {
    const explained = explain({ code: status[code], details }, connection);
    expect(explained.exitCode).toBe(exitCode);
    expect(explained.message).toMatch(message);
  });
});
