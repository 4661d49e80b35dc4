/**
 * What an attempt knows that is written down nowhere: the secrets that its stage names, and what its checkout needs. Asked
 * for once by each process that works on the attempt, so again by one that takes over; kept in memory only.
 *
 *     unknown ──get──► known      before this no step is started, and no log of one is read
 *        │  ▲
 *        └──┘ the coordinator is away: asked until it answers, or the attempt is not wanted any more
 */
import type { GitCredential } from '../../shared/git/credential.js';
import { noRegistryAccess, type RegistryAccess } from '../../shared/model/registry.js';
import type { PlannedStage } from '../../shared/model/pipeline.js';
import { createMasker, type Masker } from '../logs/mask.js';
import { SessionRefused, type AttemptSecrets } from '../session/session.js';
import { StageError } from './tools.js';

interface Known {
  /** By the secret's name. */
  readonly values: ReadonlyMap<string, string>;
  readonly masker: Masker | undefined;
}

export class StageSecrets {
  readonly #ask: (signal: AbortSignal) => Promise<AttemptSecrets>;
  /** Names, each once. */
  readonly #names: readonly string[];
  #asking: Promise<AttemptSecrets> | undefined;
  #known: Known | undefined;

  constructor(plan: PlannedStage, ask: (signal: AbortSignal) => Promise<AttemptSecrets>) {
    this.#ask = ask;
    const steps = plan.steps.filter(({ skipped }) => skipped !== true);
    const uses = [...(plan.secrets ?? []), ...steps.flatMap(({ secrets }) => secrets ?? [])];
    this.#names = [...new Set(uses.map(({ secret }) => secret))];
  }

  /**
   * Sees to it that all values are known. Throws a StageError (`secret-unavailable`) when the coordinator refuses one, or the
   * signal's reason. A stage that names none asks nobody.
   */
  async get(signal: AbortSignal): Promise<void> {
    if (this.#known !== undefined || this.#names.length === 0) return;
    const { values, refused } = await this.#answer(signal).catch((error: unknown) => {
      throw error instanceof SessionRefused
        ? this.#unavailable(this.#names.join(', '), error.message)
        : error;
    });
    if (refused !== undefined) throw this.#unavailable(refused.secret, refused.why);
    const missing = this.#names.find((name) => !values.has(name));
    if (missing !== undefined) throw this.#unavailable(missing, 'the coordinator did not send it');
    this.#known = { values, masker: createMasker(values.values()) };
  }

  /** For fetching the stage's code, where its project has a credential. Throws a StageError (`checkout-failed`). */
  async checkout(signal: AbortSignal): Promise<GitCredential | undefined> {
    try {
      return (await this.#answer(signal)).checkout;
    } catch (error) {
      if (!(error instanceof SessionRefused)) throw error;
      const message = `no access to the repository: ${error.message}`;
      throw new StageError({ kind: 'checkout-failed', message, transient: false }, { cause: error });
    }
  }

  /** For images; empty where nothing is known for the project, or the coordinator gives nothing. */
  async registries(signal: AbortSignal): Promise<RegistryAccess> {
    try {
      return (await this.#answer(signal)).registries ?? noRegistryAccess;
    } catch (error) {
      if (!(error instanceof SessionRefused)) throw error;
      // Most images need no credentials.
      return { credentials: [], withheld: error.message };
    }
  }

  /** What hides the values in a log; undefined: nothing need be hidden. Throws before `get`: no log may be read then. */
  get masker(): Masker | undefined {
    return this.#all().masker;
  }

  /** Throws before `get`. */
  value(name: string): string {
    const value = this.#all().values.get(name);
    if (value === undefined) throw new Error(`secret ${name} was not asked for`);
    return value;
  }

  /** For texts that may quote what a step wrote. Before `get` no step has run that could have written something. */
  mask(text: string): string {
    return this.#known?.masker?.text(text) ?? text;
  }

  #all(): Known {
    if (this.#names.length === 0) return { values: new Map(), masker: undefined };
    if (this.#known === undefined) throw new Error('the secrets of the attempt are not known yet');
    return this.#known;
  }

  /** Who comes while it is asked waits for the same answer. */
  async #answer(signal: AbortSignal): Promise<AttemptSecrets> {
    this.#asking ??= this.#ask(signal);
    try {
      return await this.#asking;
    } catch (error) {
      this.#asking = undefined;
      throw error;
    }
  }

  #unavailable(secret: string, message: string): StageError {
    return new StageError({ kind: 'secret-unavailable', secret, message });
  }
}
