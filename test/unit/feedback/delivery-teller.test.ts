/** Telling of a deployment until everybody has heard, through the real sender. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { Commits } from '../../../coordinator/feedback/commits.js';
import type { MailMessage, Outcome } from '../../../coordinator/feedback/deliverer.js';
import { DeliveryTeller, type DeliveryNews } from '../../../coordinator/feedback/delivery-teller.js';
import { DeliveryHealth } from '../../../coordinator/feedback/health.js';
import { Sender } from '../../../coordinator/feedback/sender.js';
import { defaultEnvironmentSettings } from '../../../shared/model/environment.js';
import { parseProjectId } from '../../../shared/model/ids.js';
import { parseMailAddress } from '../../../shared/model/mail-address.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { commit, run } from './story.js';

const { signal } = new AbortController();
const project = {
  id: parseProjectId('p'.repeat(16))!,
  name: 'app',
  url: '/srv/app.git',
  settings: defaultProjectSettings,
};
const news: DeliveryNews = {
  project,
  environment: 'production',
  chore: 3,
  what: {
    facts: {
      deployment: 7,
      run: run('k'),
      stage: 4,
      of: { kind: 'stage' },
      source: { event: 'push', trust: 'branch' },
      title: 'Fix the parser',
      by: 'ada',
      requestedAt: 1,
    },
    commit: commit('1'),
    notice: { kind: 'approval-wanted', approvers: ['ada', 'grace'] },
  },
  settings: defaultEnvironmentSettings,
  since: commit('9'),
};

function telling(outcomes: readonly Outcome['kind'][], since: Commits['since']) {
  const left = [...outcomes];
  const sent: MailMessage[] = [];
  const wallMs = () => 0;
  const sender = new Sender({
    mail: {
      deliver: (message) => {
        sent.push(message);
        return Promise.resolve({ kind: left.shift() ?? 'delivered', message: '250' });
      },
    },
    webhook: { deliver: () => Promise.reject(new Error('not used here')) },
    vault: new MemoryVault(),
    health: new DeliveryHealth(),
    wallMs,
  });
  const teller = new DeliveryTeller({
    sender,
    commits: { since },
    people: () => ({
      addressesOf: (user) => [parseMailAddress(`${user}@example.org`)!],
      ownerOf: () => undefined,
      deployers: () => [],
    }),
    policy: { backoff: { firstMs: 1, maxMs: 1 }, giveUpAfterMs: 1_000 },
    log: pino({ level: 'silent' }),
    wallMs,
  });
  return { teller, sent };
}

const asked: unknown[] = [];
const commits: Commits['since'] = (range) => {
  asked.push(range);
  return Promise.resolve([
    { commit: commit('1'), title: 'Fix it', authorName: 'Ada', authorMail: 'ada@example.org' },
  ]);
};

it('tells each approver, again until the receiver takes it, and under one id', async () => {
  const { teller, sent } = telling(['failed', 'delivered'], commits);
  await teller.tell(news, signal);
  expect(asked).toEqual([{ project: project.id, from: commit('9'), to: commit('1') }]);
  expect(sent.map(({ to }) => to).sort()).toEqual([
    'ada@example.org',
    'ada@example.org',
    'grace@example.org',
  ]);
  const ids = new Set(sent.filter(({ to }) => to === 'ada@example.org').map(({ id }) => id));
  expect(ids.size).toBe(1);
  expect(sent[0]?.text).toContain('Fix it (Ada)');
});

it('gives up what will never be taken, and tells the others', async () => {
  const { teller, sent } = telling(['refused'], commits);
  await teller.tell(news, signal);
  expect(sent).toHaveLength(2);
});

it('asks for approval also while the repository cannot be read', async () => {
  const { teller, sent } = telling([], () => Promise.reject(new Error('the remote is away')));
  await teller.tell(news, signal);
  expect(sent).toHaveLength(2);
  expect(sent[0]?.text).not.toContain('What it brings');
});

it('ends when its coordinator does', async () => {
  const stopped = new AbortController();
  const { teller } = telling(
    Array.from({ length: 100_000 }, () => 'failed' as const),
    commits,
  );
  const told = teller.tell(news, stopped.signal);
  stopped.abort(new Error('over'));
  await expect(told).rejects.toThrow('over');
});
