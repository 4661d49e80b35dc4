import type { ProjectId } from '../../shared/model/ids.js';

/** Where a value stands. People name secrets; the other spaces have fixed names. */
export interface VaultSlot {
  readonly project: ProjectId;
  readonly space:
    /** What stages name: by the secret's name. */
    | 'secret'
    /** What stages that deploy name: `<environment>/<secret>`. See `scoped-secrets.ts`. */
    | 'environment'
    /** `fetch` and `push`: a GitCredential as JSON. */
    | 'credential'
    /** By the registry's host: user and password as JSON. */
    | 'registry'
    /** `in`: signs what is delivered to us. `gate`: shows a repository's hook that it is the gate that pushes. */
    | 'hook'
    /** By the webhook's name: signs what we deliver. */
    | 'webhook';
  readonly name: string;
}

export interface VaultEntry {
  readonly slot: VaultSlot;
  readonly changedAt: number;
  readonly changedBy: string;
}

/**
 * Values that nobody may read from a disk or the network: sealed with the installation's key, in NATS. What was set is
 * durable when `set` resolves, and every coordinator reads it from then on. Nothing here logs a value, nor puts one into
 * an error.
 */
export interface Vault {
  set(slot: VaultSlot, value: string, by: string): Promise<void>;
  /** Whether there was one. */
  remove(slot: VaultSlot): Promise<boolean>;
  /** Undefined: there is none. Throws when it cannot be opened: another key sealed it. */
  read(slot: VaultSlot): Promise<string | undefined>;
  /** Names, never values, in order. */
  list(project: ProjectId, space: VaultSlot['space']): Promise<readonly VaultEntry[]>;
  /** Everything of a project that is gone. */
  removeProject(project: ProjectId): Promise<void>;
}
