import type { GitCredential } from './credential.js';

/** As it is kept in the vault. */
export const credentialToText = (credential: GitCredential): string => JSON.stringify(credential);

/** Reads `credentialToText`. Throws where it is none; the message does not quote it. */
export function credentialFromText(text: string): GitCredential {
  const value: unknown = parsed(text);
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    if (value.kind === 'https' && 'user' in value && 'token' in value) {
      const { user, token } = value;
      if (typeof user === 'string' && typeof token === 'string') return { kind: 'https', user, token };
    }
    if (value.kind === 'ssh' && 'privateKey' in value && 'knownHosts' in value) {
      const { privateKey, knownHosts } = value;
      if (typeof privateKey === 'string' && typeof knownHosts === 'string')
        return { kind: 'ssh', privateKey, knownHosts };
    }
  }
  throw new Error('what is kept as a git credential is none: set it again (gantry projects set)');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the message of JSON.parse would quote it
  }
}
