/**
 * Who this agent is, kept in its data directory: its id, the key that it proves itself with, and the seed of its NATS
 * user. An agent that has lost it is another agent. Two processes with the same identity (a cloned machine) disturb each
 * other: the newer registration owns the id.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

import {
  base32Of,
  parseAgentId,
  parseInstanceId,
  type AgentId,
  type InstanceId,
} from '../../shared/model/ids.js';
import { createNkey, nkeyFromSeed, type Nkey } from '../../shared/nats/nkey.js';

export interface Identity {
  readonly agent: AgentId;
  /** Of this process; not kept. */
  readonly instance: InstanceId;
  /** 32 random bytes as base64url: the coordinator keeps their SHA-256. */
  readonly key: string;
  readonly natsUser: Nkey;
}

/** What an agent sends as bearer once it has registered. */
export const agentBearer = ({ agent, key }: Identity): string => `gantry_agent_${agent}.${key}`;

/**
 * Reads `identity.json`, or makes it (0600, in a directory 0700). Throws when it is there and not readable: a new
 * identity beside attempts of the old one would lose them.
 */
export async function loadIdentity(dataDirectory: string): Promise<Identity> {
  const path = join(dataDirectory, 'identity.json');
  const instance = fresh(parseInstanceId);
  try {
    return { ...parse(await readFile(path, 'utf8')), instance };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw new Error(
        `the agent's identity in ${path} cannot be read: restore the file, or remove it to join as a new agent`,
        { cause: error },
      );
  }
  const identity: Identity = {
    agent: fresh(parseAgentId),
    instance,
    key: randomBytes(32).toString('base64url'),
    natsUser: createNkey('user'),
  };
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  await store(path, { agent: identity.agent, key: identity.key, natsSeed: identity.natsUser.seed });
  return identity;
}

/** On disk before it is used: an agent that registers and then loses its key after a power failure is locked out. */
async function store(path: string, content: object): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(content, undefined, 1)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function parse(text: string): Omit<Identity, 'instance'> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new Error('it is no JSON object');
  const field = (name: string): string => {
    const content: unknown = Reflect.get(value, name);
    if (typeof content !== 'string') throw new Error(`it has no ${name}`);
    return content;
  };
  const agent = parseAgentId(field('agent'));
  const key = field('key');
  if (agent === undefined) throw new Error('its agent id is malformed');
  if (!/^[A-Za-z0-9_-]{43}$/.test(key)) throw new Error('its key is malformed');
  return { agent, key, natsUser: nkeyFromSeed(field('natsSeed')) };
}

function fresh<T>(parseId: (text: string) => T | undefined): T {
  const id = parseId(base32Of(randomBytes(10)));
  if (id === undefined) throw new Error('base32Of made no identifier');
  return id;
}
