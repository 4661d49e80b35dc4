/**
 * How a repository on this machine tells the gate's push from others: by a secret in the environment that the gate's git
 * hands on to the repository's hook, which knows its digest.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { ProjectId } from '../../shared/model/ids.js';
import type { Vault } from './vault.js';

export const gateTokenVariable = 'GANTRY_GATE_TOKEN';

const slotOf = (project: ProjectId) => ({ project, space: 'hook', name: 'gate' }) as const;

export async function gateHookEnvironment(
  vault: Vault,
  project: ProjectId,
): Promise<Readonly<Record<string, string>>> {
  const token = await vault.read(slotOf(project));
  return token === undefined ? {} : { [gateTokenVariable]: token };
}

/** SHA-256 of the secret, in hexadecimal; it is made when there is none. */
export async function gateTokenDigest(vault: Vault, project: ProjectId, by: string): Promise<string> {
  let token = await vault.read(slotOf(project));
  if (token === undefined) {
    token = randomBytes(32).toString('base64url');
    await vault.set(slotOf(project), token, by);
  }
  return createHash('sha256').update(token).digest('hex');
}
