/** Each event that somebody caused is a row that says who, what and where. */
import { describe, expect, it } from 'vitest';
import { AuditLog, maxAuditRows } from '../../../coordinator/access/audit-log.js';
import type { AuditRow } from '../../../coordinator/access/audit-rows.js';
import { Reach } from '../../../coordinator/access/reach.js';
import { auditPage } from '../../../coordinator/api/audit-page.js';
import type { DeploymentEnd, DeploymentKind } from '../../../shared/model/deployment.js';
import { defaultEnvironmentSettings } from '../../../shared/model/environment.js';
import type { Event } from '../../../shared/model/event.js';
import { parseGateEntryId } from '../../../shared/model/gate.js';
import { parseCommitId } from '../../../shared/model/ids.js';
import { defaultProjectSettings, type Project } from '../../../shared/model/project.js';
import { projectOf } from '../../../shared/git/repository-url.js';
import { agentId, facts, instanceId, runId, sha, token } from '../scheduler/ids.js';

const commit = (n: number) => parseCommitId(String(n).repeat(40))!;
const app: Project = {
  ...projectOf('git.example.org/team/app'),
  url: 'https://git.example.org/team/app',
  settings: defaultProjectSettings,
};
const other = projectOf('git.example.org/team/other');
const about = { project: app.id, projectName: app.name, commit: commit(1) };
const accepted = (n: number, changes: Parameters<typeof facts>[0] = {}): Event => ({
  kind: 'RunAccepted',
  run: runId(n),
  digest: sha(n),
  facts: facts({ ...about, ...changes }),
  stages: [],
});
const move = (n: number) => ({
  ref: 'refs/heads/main',
  old: commit(1),
  new: commit(2),
  run: runId(n),
  asks: true,
  place: 'tip' as const,
});
const registered: Event = {
  kind: 'AgentRegistered',
  agent: agentId(1),
  name: 'build-1',
  instance: instanceId(1),
  labels: ['os=linux'],
  slots: 1,
  projects: [],
  trust: [],
  keyHash: sha(1),
  version: '1',
  joinedBy: 'abc by ann',
};
const audited = (by: string, action: string, subject: string): Event => ({
  kind: 'Audited',
  by,
  action,
  subject,
});

function logOf(...entries: readonly (readonly Event[])[]): AuditLog {
  const log = new AuditLog();
  entries.forEach((events, index) =>
    log.take(index + 1, { v: 1, at: 1_000 * (index + 1), epoch: 1, events }),
  );
  return log;
}
const everything = { by: '', action: '', filter: () => true, limit: 100 };
const rowsOf = (log: AuditLog): readonly AuditRow[] => log.list(everything).rows;
const shown = (log: AuditLog): readonly string[] =>
  rowsOf(log).map(({ by, action, subject, project, detail }) =>
    [by, action, subject, project?.name ?? '-', detail].join(' | '),
  );

describe('who did what', () => {
  it('is said of runs', () => {
    const log = logOf(
      [accepted(1, { branch: 'main', by: 'ann' })],
      [accepted(2, { event: 'push', branch: 'main', by: 'Eve <root@localhost>' })],
      [{ ...accepted(3, { event: 'push', by: 'bob' }), retryOf: runId(2) } as Event],
      [{ kind: 'CancelRequested', run: runId(1), stage: 2, by: 'bob' }],
    );
    expect(shown(log)).toEqual([
      `bob | run.cancel | ${runId(1)} | ${app.name} | stage 2`,
      `bob | run.retry | ${runId(3)} | ${app.name} | of ${runId(2)}`,
      // Whom a commit names as its author is no user of ours, whatever it is called.
      `a push of Eve <root@localhost> | run.push | ${runId(2)} | ${app.name} | main 111111111111`,
      `ann | run.submit | ${runId(1)} | ${app.name} | main 111111111111`,
    ]);
  });

  it('is said of agents', () => {
    const drain = { kind: 'AgentDraining', agent: agentId(1), by: 'ann' } as const;
    const log = logOf([registered], [{ ...drain, draining: true }], [{ ...drain, draining: false }]);
    expect(shown(log)).toEqual([
      'ann | agent.undrain | build-1 | - | ',
      'ann | agent.drain | build-1 | - | ',
      `agent build-1 | agent.register | ${agentId(1)} | - | join token abc by ann; os=linux`,
    ]);
  });

  it('is said of projects and what became of their refs', () => {
    const log = logOf(
      [{ kind: 'ProjectSet', project: app, by: 'ann' }],
      [{ kind: 'ProjectSet', project: app, by: 'bob' }],
      [
        {
          kind: 'RefsMoved',
          project: app.id,
          source: { kind: 'webhook', delivery: 'd', pusher: 'carl' },
          moves: [move(1)],
        },
      ],
      [{ kind: 'TriggerSettled', run: runId(1), project: app.id, reason: '[skip ci]' }],
      [{ kind: 'RefsMoved', project: app.id, source: { kind: 'poll' }, moves: [] }],
      [
        {
          kind: 'RefsMoved',
          project: app.id,
          source: { kind: 'poll' },
          moves: Array.from({ length: 3_000 }, () => move(2)),
        },
      ],
      [{ kind: 'ProjectRemoved', project: app.id, by: 'ann' }],
    );
    const rows = shown(log);
    expect(rows[0]).toBe(`ann | project.remove | ${app.name} | ${app.name} | `);
    expect(rows[1]).toMatch(/^the poll \| refs\.move \| 3000 refs of .* and 2995 more$/);
    expect(rows.slice(2)).toEqual([
      `a webhook, push of carl | push.skip | ${runId(1)} | ${app.name} | [skip ci]`,
      `a webhook, push of carl | refs.move | refs/heads/main | ${app.name} | refs/heads/main 111111111111 -> 222222222222`,
      `bob | project.set | ${app.name} | ${app.name} | ${app.url}`,
      `ann | project.add | ${app.name} | ${app.name} | ${app.url}`,
    ]);
  });

  it('is said of the gate', () => {
    const entry = { project: app.id, target: 'main', entry: parseGateEntryId('b'.repeat(16))! };
    const log = logOf(
      [{ kind: 'ProjectSet', project: app, by: 'ann' }],
      [
        {
          ...entry,
          kind: 'GateQueued',
          commit: commit(2),
          source: { kind: 'branch', ref: 'refs/heads/login' },
          method: 'merge',
          title: 't',
          by: 'bob',
        },
      ],
      [{ ...entry, kind: 'GateLanded', commit: commit(3), from: commit(1), run: runId(1) }],
      [
        {
          project: app.id,
          target: 'main',
          kind: 'GateBypassed',
          from: commit(3),
          to: commit(4),
          by: ['carl'],
        },
      ],
    );
    expect(shown(log).slice(0, 3)).toEqual([
      `a push of carl | gate.bypass | main | ${app.name} | 333333333333 -> 444444444444`,
      `the gate | gate.landed | ${entry.entry} | ${app.name} | main 111111111111 -> 333333333333`,
      `bob | gate.land | ${entry.entry} | ${app.name} | login at 222222222222 for main`,
    ]);
  });

  it('is said of environments: who set, forced, approved, rejected, settled and rolled back what', () => {
    const of = { project: app.id, environment: 'production' };
    const record = {
      commit: commit(1),
      artifacts: [],
      images: [],
      steps: [],
      env: [],
      secrets: [],
      verifies: false,
    };
    const request = (deployment: number, how: DeploymentKind, by: string): Event => ({
      ...of,
      kind: 'DeployRequested',
      deployment,
      run: runId(deployment),
      stage: 1,
      of: how,
      source: { event: 'push', trust: 'branch', branch: 'main' },
      record,
      title: 't',
      by,
    });
    const settings = {
      ...defaultEnvironmentSettings,
      approval: { by: ['ann', 'bob'], notAuthor: true },
      branches: ['main'],
      promotesFrom: 'staging',
    };
    const ended = (deployment: number, end: DeploymentEnd): Event => ({
      ...of,
      kind: 'DeployEnded',
      deployment,
      end,
    });
    const back = { kind: 'rollback', of: 1, ofRun: runId(1), ofStage: 1 } as const;
    const log = logOf(
      [{ kind: 'ProjectSet', project: app, by: 'ann' }],
      [{ ...of, kind: 'EnvironmentSet', settings, by: 'ann' }],
      [
        request(1, { kind: 'stage' }, 'Eve'),
        { ...of, kind: 'DeployCleared', deployment: 1 },
        { ...of, kind: 'DeployLocked', deployment: 1 },
      ],
      [request(2, { kind: 'stage', force: { by: 'ann', reason: 'staging is down' } }, 'ann')],
      [{ ...of, kind: 'DeployApproved', deployment: 2, by: 'bob', binding: { record: 1, settings: 3 } }],
      [ended(1, { kind: 'rejected', by: 'bob', reason: 'too late' })],
      [ended(2, { kind: 'settled-bad', by: 'ann', reason: 'it does not answer' })],
      [request(3, { ...back, cause: 'asked' }, 'bob')],
      [request(4, { ...back, cause: 'verify-failed' }, 'Eve')],
      [ended(3, { kind: 'verified', by: 'ann' }), ended(4, { kind: 'verified' })],
      [{ ...of, kind: 'EnvironmentHeld', by: 'ann', reason: 'the sale' }],
      [{ ...of, kind: 'EnvironmentResumed', by: 'ann' }],
      [{ ...of, kind: 'EnvironmentRemoved', by: 'ann' }],
    );
    const where = `production | ${app.name}`;
    const what = (n: number): string => `deployment ${n} of 111111111111, run ${runId(n)}`;
    expect(shown(log).toReversed().slice(1)).toEqual([
      `ann | environment.set | ${where} | approval of ann or bob, not its author; branches main; promotes from staging`,
      `a push of Eve | deploy.request | ${where} | ${what(1)}`,
      `ann | deploy.request | ${where} | ${what(2)}, forced: staging is down`,
      `bob | deploy.approve | ${where} | deployment 2, record 1, settings 3`,
      `bob | deploy.reject | ${where} | deployment 1: too late`,
      `ann | deploy.settle | ${where} | deployment 2: bad, it does not answer`,
      `bob | deploy.rollback | ${where} | ${what(3)}, again what was deployment 1`,
      `the coordinator | deploy.rollback | ${where} | ${what(4)}, again what was deployment 1: a verify failed`,
      `ann | deploy.settle | ${where} | deployment 3: good`,
      `ann | environment.hold | ${where} | the sale`,
      `ann | environment.resume | ${where} | `,
      `ann | environment.remove | ${where} | `,
    ]);
  });

  it('is said of a retry that somebody forces', () => {
    const force = { by: 'ann', reason: 'staging is down' };
    const log = logOf([{ ...accepted(3, { by: 'ann', force }), retryOf: runId(2) } as Event]);
    expect(shown(log)).toEqual([
      `ann | run.retry | ${runId(3)} | ${app.name} | of ${runId(2)}, forced: staging is down`,
    ]);
  });

  it('is not said of what follows by itself', () => {
    const ref = { run: runId(1), stage: 1, attempt: 1, token: token(1) };
    const log = logOf(
      [{ kind: 'EpochBegan', epoch: 1, seed: '' }],
      [{ kind: 'StageLeased', ...ref, agent: agentId(1) }],
      [{ kind: 'RunEnded', run: runId(1), status: 'failed' }],
      [{ kind: 'AgentForgotten', agent: agentId(1) }],
    );
    expect(shown(log)).toEqual([]);
  });
});

describe('the rows', () => {
  it('are the newest, and no more than their bound', () => {
    const log = new AuditLog();
    for (let n = 1; n <= maxAuditRows + 3_500; n += 1)
      log.take(n, { v: 1, at: n, epoch: 1, events: [audited('ann', 'x', String(n))] });
    const all = log.list({ ...everything, limit: Infinity }).rows;
    expect(all.length).toBe(maxAuditRows);
    expect([all[0]?.subject, all.at(-1)?.subject]).toEqual(['13500', '3501']);
  });

  it('begin anew when a replay is repeated', () => {
    const log = logOf([registered], [audited('ann', 'user.add', 'bob')]);
    const before = rowsOf(log);
    log.take(1, { v: 1, at: 1_000, epoch: 1, events: [registered] });
    expect(rowsOf(log)).toEqual(before.slice(1));
  });
});

describe('pages', () => {
  const ask = { by: '', project: '', action: '', limit: 0, cursor: '' };
  const log = logOf(
    [audited('ann', 'user.add', '1'), audited('ann', 'token.create', '2')],
    [audited('bob', 'token.revoke', '3'), audited('bob', 'tokenless', '4')],
    [{ kind: 'Audited', by: 'ann', action: 'secret.set', subject: '5', project: app.id }],
    [accepted(6, { project: other.id, projectName: other.name })],
  );
  const subjects = (changes: Partial<typeof ask>, reach = new Reach()): readonly (string | undefined)[] =>
    (auditPage(log, { ...ask, ...changes }, reach).rows ?? []).map(({ subject }) => subject);

  it('give each row once, in order, also within an entry', () => {
    const seen: (string | undefined)[] = [];
    let cursor = '';
    do {
      const page = auditPage(log, { ...ask, limit: 1, cursor }, new Reach());
      seen.push(...(page.rows ?? []).map(({ subject }) => subject));
      cursor = page.cursor ?? '';
    } while (cursor !== '' && seen.length < 20);
    expect(seen).toEqual([runId(6), '5', '4', '3', '2', '1']);
    expect(() => auditPage(log, { ...ask, cursor: 'x' }, new Reach())).toThrow(/cursor/);
  });
  it('are filtered by who, what and where', () => {
    expect(subjects({ by: 'bob' })).toEqual(['4', '3']);
    expect(subjects({ action: 'token' })).toEqual(['3', '2']);
    expect(subjects({ project: 'other' })).toEqual([runId(6)]);
    expect(subjects({ project: 'nothing' })).toEqual([]);
  });
  it('show who is limited only what is about their projects', () => {
    expect(subjects({}, new Reach([app.name]))).toEqual(['5']);
    expect(subjects({ project: other.name }, new Reach([app.name]))).toEqual([]);
  });
});
