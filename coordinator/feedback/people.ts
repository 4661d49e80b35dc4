import type { MailAddress } from '../../shared/model/mail-address.js';

/** Whom Gantry knows, as far as telling them goes. Both answers are immediate and may be minutes old. */
export interface People {
  /** Of a user by name, the preferred address first; empty: there is no such user, or no address of it. */
  addressesOf(user: string): readonly MailAddress[];
  /** The name of the user whose address it is. */
  ownerOf(address: MailAddress): string | undefined;
}
