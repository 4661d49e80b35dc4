/** From a push to its run, with a repository that the test makes up. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { reportedMove } from '../../../coordinator/triggers/push-identity.js';
import { Triggers, type PushRun } from '../../../coordinator/triggers/triggers.js';
import { deferred } from '../../../shared/async/deferred.js';
import { parseCommitId } from '../../../shared/model/ids.js';
import { defaultProjectSettings, type MoveSource } from '../../../shared/model/project.js';
import { projectId } from '../scheduler/ids.js';

const commit = parseCommitId('b'.repeat(40))!;
const project = {
  id: projectId(1),
  name: 'example.org/app',
  url: 'https://example.org/app',
  settings: defaultProjectSettings,
};

/** The run of a push of a commit by the author `ada`. */
async function runOf(source: MoveSource): Promise<PushRun> {
  const started = deferred<PushRun>();
  const move = reportedMove(project.id, { ref: 'refs/heads/main', new: commit });
  const triggers = new Triggers({
    pending: () =>
      Promise.resolve({
        project,
        trigger: { run: move.run, project: project.id, move, source, at: Date.now() },
      }),
    commits: () => ({
      read: () =>
        Promise.resolve({
          commit,
          title: 'a change',
          message: 'a change',
          authorName: 'ada',
          authorMail: 'eve@example.org',
          text: 'stages:\n  test: { steps: [make] }\n',
        }),
      changed: () => Promise.resolve([]),
    }),
    start: (push) => {
      started.resolve(push);
      return Promise.resolve();
    },
    settle: (_run, reason) => {
      started.reject(new Error(reason));
      return Promise.resolve();
    },
    log: pino({ level: 'silent' }),
    signal: new AbortController().signal,
  });
  triggers.perform(move.run);
  return started.promise;
}

it('a polled push is by the name of its author, who is not thereby the user of that name', async () => {
  const { facts } = await runOf({ kind: 'poll' });
  expect(facts).toMatchObject({ by: 'ada', byAuthor: true, author: 'ada <eve@example.org>' });
});

it('a push that a webhook tells of is by whom it names', async () => {
  const { facts } = await runOf({ kind: 'webhook', delivery: 'delivery-1', pusher: 'grace' });
  expect(facts.by).toBe('grace');
  expect(facts.byAuthor).toBeUndefined();
});

it('a push that a webhook names nobody of is by its author, as a polled one', async () => {
  const { facts } = await runOf({ kind: 'webhook', delivery: 'delivery-1' });
  expect(facts).toMatchObject({ by: 'ada', byAuthor: true });
});
