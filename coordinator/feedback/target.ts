import { parseMailAddress, type MailAddress } from '../../shared/model/mail-address.js';

/** Somebody or something that is told. */
export type Target =
  | {
      readonly kind: 'mail';
      readonly address: MailAddress;
      /** Why, as the end of "you are told because …". */
      readonly because: string;
    }
  | { readonly kind: 'webhook'; readonly name: string };

/** As events have it: `mail:<address>` or `webhook:<name>`. */
export const targetKey = (target: Target): string =>
  target.kind === 'mail' ? `mail:${target.address}` : `webhook:${target.name}`;

export const addressOfKey = (key: string): MailAddress | undefined =>
  key.startsWith('mail:') ? parseMailAddress(key.slice('mail:'.length)) : undefined;
