import { expect, test } from 'vitest';
import type { RunResult } from '../../../coordinator/gate/command.js';
import { verdictOn, verdictOnRefused } from '../../../coordinator/gate/verdict.js';
import type { Failure } from '../../../shared/model/failure.js';
import {
  at,
  effectKinds,
  failing,
  green,
  kinds,
  ofKind,
  ourFault,
  queueOf,
  runId,
  runOf,
  stage,
} from './core.js';

const judge = (result: RunResult, ...require: readonly string[]) =>
  verdictOn({ result, require, spare: runId(9) });
const lost: Failure = { kind: 'agent-lost', agent: 'a', message: 'silent' };
const exit: Failure = { kind: 'exit-code', step: 1, exitCode: 1 };
const failedWith = (...stages: RunResult['stages']): RunResult => ({ status: 'failed', stages });

test.each<[string, RunResult, readonly string[], string]>([
  ['all is well', green('lint', 'test'), ['lint', 'test'], 'green'],
  ['nothing is required and something succeeded', green('test'), [], 'green'],
  ['there are no stages', { status: 'succeeded', stages: [] }, [], 'red'],
  [
    'all stages were skipped',
    { status: 'succeeded', stages: [stage('a', { status: 'skipped' })] },
    [],
    'red',
  ],
  ['a required stage is absent', green('test'), ['lint'], 'red'],
  [
    'a required stage was skipped',
    { status: 'succeeded', stages: [stage('test'), stage('lint', { status: 'skipped' })] },
    ['lint'],
    'red',
  ],
  [
    'a required stage may fail, though it did not',
    { status: 'succeeded', stages: [stage('test', { allowFailure: true }), stage('b')] },
    ['test'],
    'red',
  ],
  [
    'a stage that may fail failed',
    {
      status: 'succeeded',
      stages: [stage('test'), stage('b', { status: 'failed', allowFailure: true, failure: exit })],
    },
    ['test'],
    'green',
  ],
  [
    'only stages that may fail succeeded',
    { status: 'succeeded', stages: [stage('b', { allowFailure: true })] },
    [],
    'red',
  ],
  [
    'one cell of a required stage failed',
    failedWith(
      stage('test', { title: 'test (a=1)' }),
      stage('test', { title: 'test (a=2)', status: 'failed', failure: exit }),
    ),
    ['test'],
    'red',
  ],
  [
    'a stage that is not required failed',
    failedWith(stage('test'), stage('docs', { status: 'failed', failure: exit })),
    ['test'],
    'red',
  ],
  ['a stage failed without saying why', failedWith(stage('test', { status: 'failed' })), [], 'red'],
  [
    'a stage failed without saying why, and an agent was lost',
    failedWith(stage('a', { status: 'failed', failure: lost }), stage('test', { status: 'failed' })),
    [],
    'red',
  ],
  ['an agent was lost', failedWith(stage('test', { status: 'failed', failure: lost })), ['test'], 'ours'],
  [
    'an agent was lost, and what needs the stage was skipped',
    failedWith(stage('a', { status: 'failed', failure: lost }), stage('test', { status: 'skipped' })),
    ['test'],
    'ours',
  ],
  [
    'an agent was lost, and the change failed too',
    failedWith(
      stage('a', { status: 'failed', failure: lost }),
      stage('test', { status: 'failed', failure: exit }),
    ),
    ['test'],
    'red',
  ],
  [
    'somebody canceled',
    { status: 'canceled', stages: [stage('test', { status: 'canceled' })] },
    ['test'],
    'canceled',
  ],
])('the verdict when %s', (_when, result, require, kind) => {
  expect(judge(result, ...require).kind).toBe(kind);
});

test('a title requires one cell of a matrix', () => {
  const cells = failedWith(
    stage('test', { title: 'test (a=1)' }),
    stage('test', { title: 'test (a=2)', status: 'failed', allowFailure: true, failure: exit }),
  );
  expect(judge({ ...cells, status: 'succeeded' }, 'test (a=1)').kind).toBe('green');
  expect(judge({ ...cells, status: 'succeeded' }, 'test').kind).toBe('red');
});

test('a pipeline that is invalid is the change’s fault, a storage that is away ours', () => {
  expect(verdictOnRefused({ kind: 'invalid-pipeline', message: 'line 3' }, runId(9)).kind).toBe('red');
  expect(verdictOnRefused({ kind: 'storage-unavailable', message: 'S3' }, runId(9))).toEqual({
    kind: 'ours',
    reason: 'S3',
    next: runId(9),
  });
});

test('a run that failed by our fault is repeated in place', () => {
  const core = queueOf(2, { retries: 2 });
  core.merged(1);
  core.started(runOf(1));
  const ended = core.ended(runOf(1), ourFault, runId(50));
  expect(kinds(ended.events)).toEqual(['GateRunEnded']);
  expect(ended.effects).toEqual([]);
  expect(core.view.entries[0]!.waitingFor).toEqual([
    `run ${runOf(1)} failed by Gantry's fault (stage test: S3 is away): it is tested again in 10 s`,
  ]);
  const passed = core.pass(11_000);
  expect(ofKind(passed.effects, 'StartRun')).toMatchObject([
    { run: runId(50), retryOf: runOf(1), candidate: { run: runOf(1) } },
  ]);
  core.started(runId(50));
  expect(ofKind(core.ended(runId(50), green()).effects, 'Push')).toHaveLength(1);
});

test('after too many of our faults the gate pauses, nobody is ejected, and resuming counts anew', () => {
  const core = queueOf(2, { retries: 2 });
  core.merged(1);
  let run = runOf(1);
  for (let n = 1; n <= 3; n += 1) {
    core.started(run);
    const ended = core.ended(run, ourFault, runId(50 + n));
    expect(kinds(ended.events)).toEqual(n < 3 ? ['GateRunEnded'] : ['GateRunEnded', 'GatePaused']);
    run = runId(50 + n);
    if (n < 3) core.pass(60_000);
    else expect(effectKinds(ended.effects)).toEqual(['notify']);
  }
  expect(core.view.entries).toHaveLength(2);
  core.turn({ kind: 'Resume', ...at, by: 'grace' });
  expect(ofKind(core.fetched().effects, 'StartRun')).toMatchObject([{ run }]);
  core.started(run);
  core.ended(run, ourFault, runId(60));
  expect(core.gate.paused).toBeUndefined();
});

test('a run that cannot be started counts like one that failed', () => {
  const core = queueOf(1, { retries: 0 });
  core.merged(1);
  const refused = core.turn({
    kind: 'RunRefused',
    run: runOf(1),
    failure: { kind: 'storage-unavailable', message: 'S3 is away' },
    spare: runId(50),
  });
  expect(kinds(refused.events)).toEqual(['GateRunEnded', 'GatePaused']);
});

test('an invalid pipeline ejects', () => {
  const core = queueOf(1);
  core.merged(1);
  core.turn({
    kind: 'RunRefused',
    run: runOf(1),
    failure: { kind: 'invalid-pipeline', message: 'line 3: no such key' },
    spare: runId(50),
  });
  expect(core.view.ended[0]!.reason).toBe('its run cannot be made: line 3: no such key');
});

test('a run that works longer than the limit is given up, canceled, and its entry ejected', () => {
  const core = queueOf(1, { hangLimitMs: 60_000 });
  core.merged(1);
  core.started(runOf(1));
  expect(core.pass(59_000).events).toEqual([]);
  const passed = core.pass(2_000);
  expect(kinds(passed.events)).toEqual(['GateRunEnded', 'GateEjected']);
  expect(effectKinds(passed.effects)).toEqual(['cancel-run', 'notify']);
});

test('a run that no agent takes pauses the gate instead', () => {
  const core = queueOf(1, { hangLimitMs: 60_000 });
  core.merged(1);
  core.started(runOf(1));
  core.runs.set(runOf(1), 'waiting');
  expect(core.view.entries[0]!.waitingFor).toEqual([`run ${runOf(1)} waits for an agent`]);
  expect(kinds(core.pass(61_000).events)).toEqual(['GatePaused']);
  expect(core.phase(1)).toBe('testing');
  core.turn({ kind: 'Resume', ...at, by: 'grace' });
  core.fetched();
  expect(core.pass(50_000).events).toEqual([]);
});

test('the end of a run that a crash swallowed is asked for', () => {
  const core = queueOf(1);
  core.merged(1);
  core.started(runOf(1));
  core.restart();
  expect(ofKind(core.fetched().effects, 'StartRun')).toMatchObject([{ run: runOf(1) }]);
  core.ended(runOf(1), failing);
  expect(core.gate.entries).toEqual([]);
});

test('a project that loses its gate keeps its queue, and lands nothing', () => {
  const core = queueOf(1);
  core.merged(1);
  core.started(runOf(1));
  const { settings } = core;
  core.settings = undefined;
  expect(core.ended(runOf(1), green()).events).toEqual([]);
  expect(core.view.entries[0]!.waitingFor).toEqual(['the project has no gate any more']);
  core.settings = settings;
  expect(core.view.notes).toEqual([]);
});
