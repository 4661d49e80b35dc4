import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { namePattern } from '../../shared/model/ids.js';
import type { Keys } from '../access/keys.js';
import { issueToken } from '../access/tokens.js';

/**
 * The owner's token: for whoever set up the installation, made from its key and kept in no directory. It allows everything,
 * has no end like the keys beside it, and ends with them: who has the keys could make another. Everybody else gets a
 * token of `gantry tokens create`.
 */
export function ownToken(keys: Keys): string {
  return issueToken(keys.tokenKey, { kind: 'user', name: ownName() });
}

/** The same, kept as `user.token` beside the keys, for whoever sets up machines by hand. */
export function keepOwnToken(keys: Keys): { readonly file: string; readonly token: string } {
  const file = join(keys.directory, 'user.token');
  try {
    return { file, token: readFileSync(file, 'utf8').trim() };
  } catch {
    const token = ownToken(keys);
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    return { file, token };
  }
}

function ownName(): string {
  try {
    const { username } = userInfo();
    if (namePattern.test(username)) return username;
  } catch {
    // No entry in the list of users, as in many containers.
  }
  return 'admin';
}
