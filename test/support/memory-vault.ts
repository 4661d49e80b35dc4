/** A vault in memory, for tests of what uses one. It passes `test/contract/vault.test.ts`. */
import type { Vault, VaultEntry, VaultSlot } from '../../coordinator/secrets/vault.js';

export class MemoryVault implements Vault {
  readonly #entries = new Map<string, { readonly value: string; readonly entry: VaultEntry }>();

  set(slot: VaultSlot, value: string, by: string): Promise<void> {
    this.#entries.set(keyOf(slot), { value, entry: { slot, changedAt: Date.now(), changedBy: by } });
    return Promise.resolve();
  }
  remove(slot: VaultSlot): Promise<boolean> {
    return Promise.resolve(this.#entries.delete(keyOf(slot)));
  }
  read(slot: VaultSlot): Promise<string | undefined> {
    return Promise.resolve(this.#entries.get(keyOf(slot))?.value);
  }
  list(project: VaultSlot['project'], space: VaultSlot['space']): Promise<readonly VaultEntry[]> {
    const entries = [...this.#entries.values()].map(({ entry }) => entry);
    return Promise.resolve(
      entries
        .filter(({ slot }) => slot.project === project && slot.space === space)
        .sort((a, b) => (a.slot.name < b.slot.name ? -1 : 1)),
    );
  }
  removeProject(project: VaultSlot['project']): Promise<void> {
    for (const [key, { entry }] of this.#entries) {
      if (entry.slot.project === project) this.#entries.delete(key);
    }
    return Promise.resolve();
  }
}

const keyOf = ({ project, space, name }: VaultSlot): string => JSON.stringify([project, space, name]);
