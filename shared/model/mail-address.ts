/** Addresses that mail may be sent to. What has this type can stand in a header and on an SMTP command line as it is. */
import type { Brand } from './ids.js';

/** One address, `local@domain`, at most 254 characters, without display name; the domain in lower case. */
export type MailAddress = Brand<string, 'MailAddress'>;

/** RFC 5321: what a forward path may hold, and its local part. */
const maxLength = 254;
const maxLocalLength = 64;

/**
 * A dot-atom: letters and digits of any script (RFC 6531), and those of ASCII's other characters that addresses have in
 * practice. No quotes of any kind, hence no spaces, commas, brackets, colons or semicolons; no `%` and `!`, which old
 * relays read as a route; nothing that a shell would look at twice.
 */
const local = /^[\p{L}\p{M}\p{N}+=_~-]+(?:\.[\p{L}\p{M}\p{N}+=_~-]+)*$/u;
const domainLabel = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?$/u;

/**
 * Undefined for anything but exactly one plain address. No comments, no quoted parts, no address literals: they are
 * valid, nobody has one, and each is a way to write two addresses where one is expected. Spaces around it are an error too:
 * the caller trims what a person typed.
 */
export function parseMailAddress(text: string): MailAddress | undefined {
  if (text.length > maxLength || text !== text.normalize('NFC')) return undefined;
  const parts = text.split('@');
  const [name, domain] = parts;
  if (parts.length !== 2 || name === undefined || domain === undefined) return undefined;
  if (name.length > maxLocalLength || name.startsWith('-') || !local.test(name)) return undefined;
  if (!isMailDomain(domain)) return undefined;
  // The checks above are the proof.
  return `${name}@${domain.toLowerCase()}` as MailAddress;
}

/** `example.org`, or a name without a dot as inside a company. */
export function isMailDomain(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false;
  return text.split('.').every((label) => domainLabel.test(label));
}

/** What stands behind the `@`, in lower case: compared with a project's `mailDomains`. */
export const domainOfMail = (address: MailAddress): string => address.slice(address.lastIndexOf('@') + 1);
