import { backoffMs } from '../../shared/async/backoff.js';
import { sleep } from '../../shared/async/sleep.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import type { NotifierPolicy } from './notifier.js';
import type { Sender } from './sender.js';
import { targetKey, type Target } from './target.js';
import type { Tellable } from './tellable.js';

export interface SendToAllOptions {
  readonly sender: Sender;
  readonly policy: Pick<NotifierPolicy, 'backoff' | 'giveUpAfterMs'>;
  readonly log: Logger;
  readonly wallMs: () => number;
}

/** Resolves when every target has heard or never will. Rejects with the signal's reason. */
export async function sendToAll(
  options: SendToAllOptions,
  what: { readonly story: Tellable; readonly targets: readonly Target[]; readonly project: Project },
  signal: AbortSignal,
): Promise<void> {
  const { story, targets, project } = what;
  const sent = await Promise.allSettled(
    targets.map((target) => sendToOne(options, { story, target, project }, signal)),
  );
  for (const outcome of sent) if (outcome.status === 'rejected') throw outcome.reason;
}

async function sendToOne(
  { sender, policy, log, wallMs }: SendToAllOptions,
  sending: { readonly story: Tellable; readonly target: Target; readonly project: Project },
  signal: AbortSignal,
): Promise<void> {
  const began = wallMs();
  for (let failures = 0; ; failures += 1) {
    const { kind, message } = await sender.send(sending, signal);
    const isOver = wallMs() - began >= policy.giveUpAfterMs;
    const level = kind === 'delivered' ? 'info' : 'warn';
    log[level]({ target: targetKey(sending.target), outcome: kind, message }, 'told somebody');
    if (kind !== 'failed' || isOver) return;
    await sleep(backoffMs(policy.backoff, failures, Math.random()), signal);
  }
}
