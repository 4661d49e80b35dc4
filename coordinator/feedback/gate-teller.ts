/**
 * Tells people what a gate did. The gate keeps the news in the journal until `tell` resolves, and asks again after a crash:
 * then those who had heard hear it once more, under the same id.
 */
import { backoffMs } from '../../shared/async/backoff.js';
import { sleep } from '../../shared/async/sleep.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import type { GateNotice } from '../gate/state.js';
import type { EndedRuns } from './ended-runs.js';
import { gateTellable } from './gate-message.js';
import { gateRecipients, type GatePeople } from './gate-recipients.js';
import { gateStory } from './gate-story.js';
import { gatherStory } from './gather-story.js';
import type { NotifierPolicy } from './notifier.js';
import type { Sender } from './sender.js';
import type { FailedStage } from './story.js';
import { targetKey, type Target } from './target.js';
import type { Tellable } from './tellable.js';

export interface GateTellerOptions {
  readonly runs: EndedRuns;
  readonly people: (project: Project) => GatePeople;
  readonly sender: Sender;
  readonly policy: Pick<NotifierPolicy, 'backoff' | 'giveUpAfterMs'>;
  readonly log: Logger;
  readonly wallMs: () => number;
}

export interface GateNews {
  readonly project: Project;
  readonly target: string;
  /** Of the gate: with project and target it names the news for good. */
  readonly chore: number;
  readonly notice: GateNotice;
}

export class GateTeller {
  readonly #options: GateTellerOptions;

  constructor(options: GateTellerOptions) {
    this.#options = options;
  }

  /** Resolves when every target has heard or never will. Rejects with the signal's reason. */
  async tell({ project, target, chore, notice }: GateNews, signal: AbortSignal): Promise<void> {
    const { people, log } = this.#options;
    const { targets, dropped } = gateRecipients(notice, project, people(project));
    for (const { target: who, reason } of dropped) {
      log.info(
        { project: project.name, gate: target, target: who, reason },
        'somebody is not told of the gate',
      );
    }
    if (targets.length === 0) return;
    const story = gateStory({ project, target, notice, failed: await this.#failedIn(notice, signal) });
    const tellable = gateTellable(story, `${project.id}/${target}/${chore}`);
    const sent = await Promise.allSettled(targets.map((one) => this.#send(tellable, one, project, signal)));
    for (const outcome of sent) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #send(story: Tellable, target: Target, project: Project, signal: AbortSignal): Promise<void> {
    const { sender, policy, log, wallMs } = this.#options;
    const began = wallMs();
    for (let failures = 0; ; failures += 1) {
      const { kind, message } = await sender.send({ story, target, project }, signal);
      const isOver = wallMs() - began >= policy.giveUpAfterMs;
      const key = targetKey(target);
      log[kind === 'delivered' ? 'info' : 'warn'](
        { target: key, outcome: kind, message },
        'told of the gate',
      );
      if (kind !== 'failed' || isOver) return;
      await sleep(backoffMs(policy.backoff, failures, Math.random()), signal);
    }
  }

  /** Empty where the run cannot be read: news that waits is no news. */
  async #failedIn(notice: GateNotice, signal: AbortSignal): Promise<readonly FailedStage[]> {
    if (notice.kind !== 'ejected' || notice.ejection.kind !== 'failed') return [];
    const { runs, log } = this.#options;
    try {
      const run = await runs.find(notice.ejection.run);
      if (run === undefined) return [];
      return (await gatherStory({ run, news: 'failed', commits: [] }, runs, signal)).failed;
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, run: notice.ejection.run }, 'a run of the gate cannot be read');
      return [];
    }
  }
}
