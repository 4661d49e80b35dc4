/**
 * Tells people what happens in environments. Delivery keeps the news in the journal until `tell` resolves, and asks again after
 * a crash: then those who had heard hear it once more, under the same id.
 */
import type { EnvironmentSettings } from '../../shared/model/environment.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Chore } from '../delivery/state.js';
import type { CommitLine, Commits } from './commits.js';
import { deliveryTellable } from './delivery-message.js';
import { deliveryRecipients, type DeliveryPeople } from './delivery-recipients.js';
import { bringsCommits, deliveryStory } from './delivery-story.js';
import { sendToAll, type SendToAllOptions } from './send-to-all.js';

export interface DeliveryTellerOptions extends SendToAllOptions {
  readonly commits: Commits;
  readonly people: (project: Project) => DeliveryPeople;
}

export interface DeliveryNews {
  readonly project: Project;
  readonly environment: string;
  /** Of the environment: with both it names the news for good. */
  readonly chore: number;
  readonly what: Chore;
  readonly settings: EnvironmentSettings;
  /** The commit that is there, or was before it; undefined: nothing was. */
  readonly since: CommitId | undefined;
}

export class DeliveryTeller {
  readonly #options: DeliveryTellerOptions;

  constructor(options: DeliveryTellerOptions) {
    this.#options = options;
  }

  /** Resolves when every target has heard or never will. Rejects with the signal's reason. */
  async tell(news: DeliveryNews, signal: AbortSignal): Promise<void> {
    const { people, log } = this.#options;
    const { project, environment, chore } = news;
    const { targets, dropped } = deliveryRecipients(news, people(project));
    for (const { target, reason } of dropped) {
      log.info(
        { project: project.name, environment, target, reason },
        'somebody is not told of a deployment',
      );
    }
    if (targets.length === 0) return;
    const commits = await this.#commits(news, signal);
    const story = deliveryTellable(
      deliveryStory({ ...news, commits }),
      `${project.id}/${environment}/${chore}`,
    );
    await sendToAll(this.#options, { story, targets, project }, signal);
  }

  /** What is new there, or would be. Empty where it cannot be read: news that waits is no news. */
  async #commits(
    { what, project, since }: DeliveryNews,
    signal: AbortSignal,
  ): Promise<readonly CommitLine[]> {
    if (!bringsCommits(what)) return [];
    const { commits, log } = this.#options;
    try {
      const from = since === undefined ? {} : { from: since };
      return await commits.since({ project: project.id, ...from, to: what.commit }, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, commit: what.commit }, 'the commits of a deployment cannot be read');
      return [];
    }
  }
}
