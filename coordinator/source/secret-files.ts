import { open } from 'node:fs/promises';

/** Why a file should perhaps not leave the machine. */
export type SecretReason = 'environment file' | 'private key' | 'credentials';

const byName: readonly { readonly pattern: RegExp; readonly reason: SecretReason }[] = [
  { pattern: /^\.env(?:\..+)?$/, reason: 'environment file' },
  { pattern: /^id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?$/, reason: 'private key' },
  { pattern: /\.(?:key|p12|pfx|jks|keystore|ppk)$/i, reason: 'private key' },
  {
    pattern:
      /^(?:\.netrc|_netrc|\.git-credentials|\.pgpass|\.htpasswd|credentials\.json|service-account.*\.json)$/i,
    reason: 'credentials',
  },
];

/** Files that are secret only by what is in them. */
const byContent: readonly {
  readonly name: RegExp;
  readonly content: RegExp;
  readonly reason: SecretReason;
}[] = [
  { name: /\.pem$/i, content: /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY/, reason: 'private key' },
  { name: /^\.npmrc$/, content: /_(?:authToken|auth|password)\s*=\s*(?!\$\{)\S/, reason: 'credentials' },
  { name: /^\.pypirc$/, content: /^\s*password\s*[:=]\s*\S/m, reason: 'credentials' },
  { name: /^config\.json$/, content: /"auths"\s*:\s*\{[^}]*"auth"\s*:/, reason: 'credentials' },
];

/** Samples are meant to be shared. */
const harmless = /^\.env\.(?:example|sample|template|dist|defaults?)$/i;

/**
 * Guesses from name and first 64 KiB whether a file is a secret, for a warning before it is sent. A guess: it neither finds
 * every secret nor is every find one.
 */
export async function looksSecret(root: string, file: Buffer): Promise<SecretReason | undefined> {
  const name = file.subarray(file.lastIndexOf(0x2f) + 1).toString('utf8');
  if (harmless.test(name)) return undefined;
  const named = byName.find(({ pattern }) => pattern.test(name));
  if (named !== undefined) return named.reason;
  const candidates = byContent.filter((rule) => rule.name.test(name));
  if (candidates.length === 0) return undefined;
  const text = await beginning(Buffer.concat([Buffer.from(`${root}/`), file]));
  return candidates.find(({ content }) => content.test(text))?.reason;
}

async function beginning(file: Buffer): Promise<string> {
  const handle = await open(file, 'r').catch(() => undefined); // gone or not readable: git will say so when it packs
  if (handle === undefined) return '';
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(65_536), 0, 65_536, 0);
    return buffer.subarray(0, bytesRead).toString('latin1');
  } catch {
    return ''; // a directory of that name
  } finally {
    await handle.close();
  }
}
