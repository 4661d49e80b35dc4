/**
 * Tells people what a gate did. The gate keeps the news in the journal until `tell` resolves, and asks again after a crash:
 * then those who had heard hear it once more, under the same id.
 */
import type { Project } from '../../shared/model/project.js';
import type { GateNotice } from '../gate/state.js';
import type { EndedRuns } from './ended-runs.js';
import { gateTellable } from './gate-message.js';
import { gateRecipients, type GatePeople } from './gate-recipients.js';
import { gateStory } from './gate-story.js';
import { gatherStory } from './gather-story.js';
import { sendToAll, type SendToAllOptions } from './send-to-all.js';
import type { FailedStage } from './story.js';

export interface GateTellerOptions extends SendToAllOptions {
  readonly runs: EndedRuns;
  readonly people: (project: Project) => GatePeople;
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
    await sendToAll(this.#options, { story: tellable, targets, project }, signal);
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
