import type { MailMessage } from './deliverer.js';
import type { Target } from './target.js';

/** News in the form of each way out. A target is told of the same news under the same id, however often it is tried. */
export interface Tellable {
  mailFor(target: Extract<Target, { kind: 'mail' }>): MailMessage;
  /** By the target's key. */
  deliveryTo(target: string): string;
  webhookBody(delivery: string): string;
}
