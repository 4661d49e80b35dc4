/** Free space of the data directory, and what is done when it becomes short. */
export interface DiskOptions {
  readonly directory: string;
  /** Below this the agent takes no stage. */
  readonly minFreeBytes: number;
  /** Whether so much is free, after throwing away what can be had again (trash, mirrors). */
  readonly ensureFree: (bytes: number) => Promise<boolean>;
  readonly freeBytes: () => Promise<number>;
}

export class Disk {
  readonly #options: DiskOptions;
  #checking: Promise<string | undefined> | undefined;
  #reason: string | undefined;

  constructor(options: DiskOptions) {
    this.#options = options;
  }

  /** Why the agent takes no stage, as of the last check; undefined: there is room. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Looks, frees what may be freed if there is too little, looks again. Calls at once share one look. */
  check(): Promise<string | undefined> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<string | undefined> {
    const { directory, minFreeBytes, ensureFree, freeBytes } = this.#options;
    this.#reason = (await ensureFree(minFreeBytes))
      ? undefined
      : `disk: ${gigabytes(await freeBytes())} free for ${directory}, it takes stages from ${gigabytes(minFreeBytes)} on (--min-free)`;
    return this.#reason;
  }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
