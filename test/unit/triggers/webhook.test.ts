import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Coordinator, maxCommandBytes } from '../../../coordinator/coordinator.js';
import { webhookOf } from '../../../coordinator/triggers/assemble.js';
import type { WebhookAnswer } from '../../../coordinator/triggers/webhook.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { signMessage } from '../../../shared/webhook-signature.js';
import { MemoryJournal, MemoryStore } from '../../support/memory-journal.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { projectId } from '../scheduler/ids.js';

const secret = 'the secret of its hook';
const zeros = '0'.repeat(40);
const slot = (n: number) => ({ project: projectId(n), space: 'hook', name: 'in' }) as const;
const pushed = (count: number, length = 1): string =>
  JSON.stringify({
    moves: Array.from({ length: count }, (_, n) => ({
      ref: `refs/heads/${String(n).padStart(length, 'x')}`,
      old: zeros,
      new: 'a'.repeat(40),
    })),
  });

/** A coordinator with the project 1, and the webhook on its loop. */
async function start() {
  const log = pino({ level: 'silent' });
  const vault = new MemoryVault();
  const coordinator = new Coordinator({
    journal: new MemoryJournal(new MemoryStore()),
    clock: { wallMs: () => Date.now(), monotonicMs: () => 1_000 },
    seed: '0'.repeat(32),
    perform: () => undefined,
    onEntry: () => undefined,
    isProven: () => true,
    log,
  });
  await coordinator.start();
  const looping = coordinator.run().catch(() => undefined);
  const project = {
    id: projectId(1),
    name: 'example.org/app',
    url: 'https://example.org/app',
    settings: defaultProjectSettings,
  };
  await coordinator.perform({ kind: 'SetProject', project, isNew: true, by: 'ada' });
  await vault.set(slot(1), secret, 'ada');
  const asked: string[] = [];
  const take = webhookOf({
    coordinator,
    vault: Object.assign(Object.create(vault) as MemoryVault, {
      read: (of: Parameters<MemoryVault['read']>[0]) => {
        asked.push(of.project);
        return vault.read(of);
      },
    }),
    log,
  });
  const send = (body: string, how: { delivery?: string; signed?: string; project?: number } = {}) => {
    const { delivery = 'delivery-1', signed = delivery, project: n = 1 } = how;
    const timestamp = Math.floor(Date.now() / 1000);
    return take({
      project: projectId(n),
      timestamp: String(timestamp),
      signature: signMessage(secret, { timestamp, delivery: signed, body }),
      delivery,
      body: Buffer.from(body),
    });
  };
  const stop = async (): Promise<void> => {
    coordinator.stop(new Error('the test has ended'));
    await looping;
  };
  return { send, stop, asked, vault };
}

async function withWebhook(test: (hook: Awaited<ReturnType<typeof start>>) => Promise<void>): Promise<void> {
  const hook = await start();
  try {
    await test(hook);
  } finally {
    await hook.stop();
  }
}

describe('A webhook', () => {
  it('takes a delivery once, and not under another id than the one that was signed', () =>
    withWebhook(async ({ send }) => {
      const body = pushed(1);
      expect(await send(body)).toMatchObject({ status: 202 });
      expect(await send(body)).toMatchObject({ status: 409 });
      expect(await send(body, { delivery: 'delivery-2', signed: 'delivery-1' })).toMatchObject({
        status: 401,
      });
    }));

  it('answers what is too large to record with how much is allowed', () =>
    withWebhook(async ({ send }) => {
      const answer: WebhookAnswer = await send(pushed(500, 850));
      expect(answer.status).toBe(400);
      expect(answer.body.message).toContain(`at most ${maxCommandBytes} fit`);
      // None of it was taken.
      expect(await send(pushed(1))).toMatchObject({ status: 202 });
    }));

  it('asks the same of a project that is not there as of one that is', () =>
    withWebhook(async ({ send, asked, vault }) => {
      await vault.set(slot(2), secret, 'ada');
      // Not even a secret that was left behind makes a project of it.
      expect(await send(pushed(1), { project: 2 })).toMatchObject({ status: 401 });
      expect(asked).toEqual([projectId(2)]);
    }));

  it('takes no id that has a full stop, which parts what is signed', () =>
    withWebhook(async ({ send }) => {
      expect(await send(pushed(1), { delivery: 'delivery.1' })).toMatchObject({ status: 400 });
    }));
});
