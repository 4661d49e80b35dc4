import type { MailAddress } from '../../shared/model/mail-address.js';

export type Outcome =
  /** The receiver has taken it. `message`: in its words, one line. */
  | { readonly kind: 'delivered'; readonly message: string }
  /** This message to this target will not be taken, however often it is tried. */
  | { readonly kind: 'refused'; readonly message: string }
  /** It may work later. */
  | { readonly kind: 'failed'; readonly message: string };

/**
 * Takes one message to one target. Several may be under way at once. Never rejects but for the signal: what went wrong is
 * an outcome. `delivered` is said only once the receiver has said so; when its answer is lost the message is sent again, and
 * carries the same id then.
 */
export interface Deliverer<Message> {
  deliver(message: Message, signal: AbortSignal): Promise<Outcome>;
}

export interface MailMessage {
  readonly to: MailAddress;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** Without its domain and angle brackets. */
  readonly id: string;
  /** The id of the message that began the thread. */
  readonly inReplyTo?: string;
  /** Beside those that every mail has. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface WebhookMessage {
  readonly url: string;
  /** Signs it. */
  readonly secret: string;
  readonly id: string;
  /** JSON. */
  readonly body: string;
}
