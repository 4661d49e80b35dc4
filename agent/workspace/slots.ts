import { mkdirSync, renameSync } from 'node:fs';
import { mkdir, readdir, rename, statfs } from 'node:fs/promises';
import path from 'node:path';
import { sleep } from '../../shared/async/sleep.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import { runs } from './run-program.js';
import { spreadChildren } from './spread.js';

/** So many slots are made ahead. */
const sparesKept = 2;
/** A stage that begins has better use for the disk. */
const spareAfterMs = 200;
/** Trash gathers for so long: starting a program costs more than what it removes, and an attempt leaves two directories. */
const gatherMs = 200;
/** Far below what the kernel takes as arguments of one program. */
const maxAtOnce = 256;

/** Directories of one attempt, used once. Only the agent's user can look into them. */
export interface Slot {
  /** `DATA/slots/<run>-<stage>-<attempt>`. */
  readonly root: string;
  readonly workspace: string;
  readonly out: string;
}

/**
 * The agent's directories for attempts, and the way out of them: what is done with is renamed into `trash/`, which costs
 * nothing, and deleted in the background, what gathered at once.
 */
export class Slots {
  readonly #slots: string;
  readonly #trash: string;
  readonly #spares: string;
  readonly #ready: string[] = [];
  #isSparing = false;
  #sweeping: Promise<void> | undefined;
  /** Something was thrown away since the sweep began its last look. */
  #wanted = false;
  #counter = 0;

  private constructor(private readonly data: string) {
    this.#slots = path.join(data, 'slots');
    this.#trash = path.join(data, 'trash');
    this.#spares = path.join(data, 'spares');
  }

  /** What a killed predecessor left in the trash is swept. */
  static async open(data: string): Promise<Slots> {
    const slots = new Slots(data);
    await mkdir(slots.#slots, { recursive: true, mode: 0o700 });
    await mkdir(slots.#trash, { recursive: true, mode: 0o700 });
    await mkdir(slots.#spares, { recursive: true, mode: 0o700 });
    await spreadChildren(slots.#spares);
    for (const name of await readdir(slots.#spares)) await slots.discard(path.join(slots.#spares, name));
    slots.sweep();
    await slots.#spare();
    return slots;
  }

  /** Where an attempt's slot is, whether or not it exists. */
  slotOf(ref: AttemptRef): Slot {
    return slotAt(path.join(this.#slots, `${ref.run}-${ref.stage}-${ref.attempt}`));
  }

  /**
   * An empty slot. One left over from preparing the same attempt before is thrown away. At once, not by the thread pool: a
   * container waits for it. Mostly one that was made ahead, since apart from all others on the disk (`spread.ts`) its three
   * directories take 1.5 ms, and a rename 0.03.
   */
  async create(ref: AttemptRef): Promise<Slot> {
    const slot = this.slotOf(ref);
    const made = this.#ready.pop() ?? this.#makeAtOnce();
    try {
      renameSync(made, slot.root);
    } catch (error) {
      if (!isCode(error, 'ENOTEMPTY') && !isCode(error, 'EEXIST')) throw error;
      await this.discard(slot.root);
      renameSync(made, slot.root);
    }
    setTimeout(() => void this.#spareAgain(), spareAfterMs).unref();
    return slot;
  }

  #nextSpare(): readonly [root: string, ...below: readonly string[]] {
    const { root, workspace, out } = slotAt(path.join(this.#spares, String((this.#counter += 1))));
    return [root, workspace, out];
  }

  #makeAtOnce(): string {
    const directories = this.#nextSpare();
    for (const each of directories) mkdirSync(each, { mode: 0o700 });
    return directories[0];
  }

  async #spareAgain(): Promise<void> {
    if (this.#isSparing) return;
    this.#isSparing = true;
    // Where the disk does not take one, who needs it next says so.
    await this.#spare().catch(() => undefined);
    this.#isSparing = false;
  }

  async #spare(): Promise<void> {
    while (this.#ready.length < sparesKept) {
      const directories = this.#nextSpare();
      for (const each of directories) await mkdir(each, { mode: 0o700 });
      this.#ready.push(directories[0]);
    }
  }

  /** Names of the slots that exist, `<run>-<stage>-<attempt>` each. */
  async list(): Promise<readonly string[]> {
    return readdir(this.#slots);
  }

  /** Removes the slot of every attempt but these (`<run>-<stage>-<attempt>`). */
  async discardAllBut(keep: ReadonlySet<string>): Promise<void> {
    for (const name of await this.list()) {
      if (!keep.has(name)) await this.discard(path.join(this.#slots, name));
    }
  }

  /** Takes a directory (also a mirror, any below the data directory) out of the way at once. Nothing there: nothing happens. */
  async discard(directory: string): Promise<void> {
    this.#counter += 1;
    const target = path.join(
      this.#trash,
      `${path.basename(directory)}.${process.pid}.${Date.now()}.${this.#counter}`,
    );
    try {
      await rename(directory, target);
    } catch (error) {
      if (isCode(error, 'ENOENT')) return;
      throw error;
    }
    this.sweep();
  }

  /** Deletes the trash in the background. What cannot be deleted stays for the next sweep. */
  sweep(): void {
    this.#wanted = true;
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined;
      // Thrown away after the sweep had looked for the last time.
      if (this.#wanted) this.sweep();
    });
  }

  /** Resolves when no sweep is under way. */
  async swept(): Promise<void> {
    while (this.#sweeping !== undefined) await this.#sweeping;
  }

  /** Bytes that are free for the agent where its data is. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.data);
    return bavail * bsize;
  }

  /**
   * Whether `minFreeBytes` are free, after throwing away what can be had again: the trash, then by `evict` (mirrors,
   * caches), which says whether it removed something.
   */
  async ensureFree(minFreeBytes: number, evict: () => Promise<boolean>): Promise<boolean> {
    if ((await this.freeBytes()) >= minFreeBytes) return true;
    await this.swept();
    for (;;) {
      if ((await this.freeBytes()) >= minFreeBytes) return true;
      if (!(await evict())) return false;
      await this.swept();
    }
  }

  async #sweep(): Promise<void> {
    const failed = new Set<string>();
    for (;;) {
      await sleep(gatherMs);
      this.#wanted = false;
      const names = (await this.#inTrash()).filter((name) => !failed.has(name)).slice(0, maxAtOnce);
      if (names.length === 0) return;
      await removeTrees(names.map((name) => path.join(this.#trash, name)));
      // What is still there could not be deleted.
      const left = new Set(await this.#inTrash());
      for (const name of names) if (left.has(name)) failed.add(name);
    }
  }

  /** Nothing, when somebody removed the data directory under the agent: whoever needs it next says so. */
  #inTrash(): Promise<readonly string[]> {
    return readdir(this.#trash).catch(() => []);
  }
}

const slotAt = (root: string): Slot => ({
  root,
  workspace: path.join(root, 'workspace'),
  out: path.join(root, 'out'),
});

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/**
 * Deletes hostile trees by `rm`, which descends by descriptor: Node's own `rm` joins paths, and a step can nest directories
 * until those are too long. Mounts are not entered.
 */
async function removeTrees(directories: readonly string[]): Promise<void> {
  const remove = (): Promise<boolean> => runs('rm', ['-rf', '--one-file-system', '--', ...directories]);
  if (await remove()) return;
  // A step that ran as our own user may have taken the right to write from directories; module caches do.
  await runs('chmod', ['-R', 'u+rwX', '--', ...directories]);
  await remove();
}
