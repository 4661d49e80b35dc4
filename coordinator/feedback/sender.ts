/** One attempt to tell one target: what is sent, by whom, a few at once for each way out, so that a slow one holds up no other. */
import { Limit } from '../../shared/async/limit.js';
import type { Project } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { Vault } from '../secrets/vault.js';
import { mailOf, webhookBody } from './compose.js';
import type { Deliverer, MailMessage, Outcome, WebhookMessage } from './deliverer.js';
import { deliveryId } from './delivery-id.js';
import type { DeliveryHealth } from './health.js';
import type { Story } from './story.js';
import { targetKey, type Target } from './target.js';
import type { Tellable } from './tellable.js';

export interface SenderOptions {
  /** Absent: no SMTP server is configured. */
  readonly mail?: Deliverer<MailMessage>;
  readonly webhook: Deliverer<WebhookMessage>;
  readonly vault: Pick<Vault, 'read'>;
  readonly health: DeliveryHealth;
  readonly wallMs: () => number;
}

export interface Sending {
  /** Of a run, or other news in its own form. */
  readonly story: Story | Tellable;
  readonly target: Target;
  readonly project: Project;
}

function tellableOf(story: Story | Tellable): Tellable {
  if ('mailFor' in story) return story;
  return {
    mailFor: (target) => mailOf(story, target),
    deliveryTo: (target) => deliveryId(story.run, target, story.news),
    webhookBody: (delivery) => webhookBody(story, delivery),
  };
}

/** Attempts at once of one way out. */
const laneWidth = 4;

export class Sender {
  readonly #options: SenderOptions;
  readonly #lanes = new Map<string, { readonly limit: Limit; users: number }>();

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Rejects only with the signal's reason. */
  async send(sending: Sending, signal: AbortSignal): Promise<Outcome> {
    const { target, project } = sending;
    const { mail, health, wallMs } = this.#options;
    if (target.kind === 'mail' && mail === undefined) {
      return { kind: 'refused', message: 'no SMTP server is configured' };
    }
    const lane = target.kind === 'mail' ? 'mail' : `webhook ${target.name} of ${printable(project.name)}`;
    const outcome = await this.#inLane(lane, () => {
      signal.throwIfAborted();
      return target.kind === 'mail'
        ? this.#mail(sending.story, target, signal)
        : this.#webhook(sending.story, target, project, signal);
    });
    health.saw({ lane, target: targetKey(target) }, outcome, wallMs());
    return outcome;
  }

  async #mail(
    story: Story | Tellable,
    target: Extract<Target, { kind: 'mail' }>,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { mail } = this.#options;
    return mail === undefined
      ? { kind: 'refused', message: 'no SMTP server is configured' }
      : mail.deliver(tellableOf(story).mailFor(target), signal);
  }

  async #webhook(
    story: Story | Tellable,
    target: Extract<Target, { kind: 'webhook' }>,
    project: Project,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { vault, webhook } = this.#options;
    const settings = project.settings.webhooks.find(({ name }) => name === target.name);
    if (settings === undefined) {
      return {
        kind: 'refused',
        message: `the project has no webhook ${JSON.stringify(printable(target.name))}`,
      };
    }
    let secret: string | undefined;
    try {
      secret = await vault.read({ project: project.id, space: 'webhook', name: target.name });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { kind: 'failed', message: `its secret cannot be read: ${printable(why)}` };
    }
    if (secret === undefined)
      return { kind: 'refused', message: 'it has no secret to sign with: set the webhook anew' };
    const told = tellableOf(story);
    const id = told.deliveryTo(targetKey(target));
    return webhook.deliver({ url: settings.url, secret, id, body: told.webhookBody(id) }, signal);
  }

  async #inLane<T>(name: string, task: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(name) ?? { limit: new Limit(laneWidth), users: 0 };
    this.#lanes.set(name, lane);
    lane.users += 1;
    try {
      return await lane.limit.run(task);
    } finally {
      lane.users -= 1;
      if (lane.users === 0) this.#lanes.delete(name);
    }
  }
}
