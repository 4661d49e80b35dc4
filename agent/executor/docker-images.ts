/**
 * Resolves an image reference to what boxes start from, and has it on the daemon afterwards.
 *
 * The registry is asked (`/distribution`) even when the image is here: that an image is present proves neither that
 * it is the current one nor that this project may use it. What the agent's owner allows by `--local-images` is the
 * exception, and the only way for an image that exists on this machine alone.
 */
import type Docker from 'dockerode';
import { Recent } from '../../shared/async/recent.js';
import { registryOf, type RegistryAccess } from '../../shared/model/registry.js';
import { accessRemedy, authFor } from './docker-auth.js';
import { daemonError, isUnreachable, statusOf, wordsOf } from './docker-daemon.js';
import { ExecutorError, type PullProgress } from './executor.js';
import {
  isImageId,
  isImageReference,
  matchesLocal,
  parseImageReference,
  repoDigestFor,
  withTag,
} from './image-reference.js';
import { PullTally, type PullEvent } from './pull-progress.js';

const progressEveryMs = 200;
const rememberedImages = 256;

export interface ResolveOptions {
  readonly pinned?: string;
  readonly registries: () => Promise<RegistryAccess>;
  readonly onProgress: (progress: PullProgress) => void;
  readonly signal: AbortSignal;
}

interface WantedPull {
  readonly image: string;
  readonly pinned: string;
  readonly key: string;
  readonly access: RegistryAccess;
}

interface Pull {
  readonly done: Promise<void>;
  readonly listeners: Set<(progress: PullProgress) => void>;
  readonly abort: AbortController;
}

export class DockerImages {
  readonly #docker: Docker;
  readonly #localImages: readonly string[];
  readonly #pulls = new Map<string, Pull>();
  /** What references were resolved to. */
  readonly #resolved = new Recent<string, string>(rememberedImages);

  constructor(docker: Docker, localImages: readonly string[]) {
    this.#docker = docker;
    this.#localImages = localImages;
  }

  async resolve(image: string, options: ResolveOptions): Promise<string> {
    try {
      const resolved = await this.#resolve(image, options);
      this.#resolved.set(image, resolved);
      return resolved;
    } catch (error) {
      this.#resolved.delete(image);
      throw error;
    }
  }

  /** Without asking anybody; what was resolved may have been moved or removed since. */
  likely(image: string, pinned: string | undefined): string | undefined {
    const last = this.#resolved.get(image);
    return pinned === undefined || pinned === last ? last : undefined;
  }

  async #resolve(image: string, options: ResolveOptions): Promise<string> {
    if (options.pinned !== undefined) return this.#havePinned(image, options.pinned, options);
    if (!isImageReference(image)) {
      const message =
        'this is no image reference: expected NAME, NAME:TAG or NAME@sha256:DIGEST, in lower case';
      throw unavailable(image, message, false);
    }
    const { digest, name } = parseImageReference(image);
    if (digest !== undefined) return this.#havePinned(image, `${name}@${digest}`, options);
    if (matchesLocal(image, this.#localImages)) {
      const local = await this.#inspect(withTag(image));
      // By the registry's digest if it came from one, so that other agents can get the same.
      if (local !== undefined) return repoDigestFor(image, local.RepoDigests) ?? local.Id;
    }
    options.signal.throwIfAborted();
    const resolved = `${name}@${await this.#askRegistry(image, options)}`;
    return this.#havePinned(image, resolved, options);
  }

  async #havePinned(image: string, pinned: string, options: ResolveOptions): Promise<string> {
    if ((await this.#inspect(pinned)) !== undefined) return pinned;
    options.signal.throwIfAborted();
    if (isImageId(pinned)) {
      const message = `the run is pinned to an image that exists only on another agent (${pinned.slice(0, 19)}…): push it to a registry, or require that agent by its labels`;
      throw unavailable(image, message, false);
    }
    await this.#pull(image, pinned, options);
    return pinned;
  }

  async #inspect(reference: string): Promise<Docker.ImageInspectInfo | undefined> {
    try {
      return await this.#docker.getImage(reference).inspect();
    } catch (error) {
      if (statusOf(error) === 404 || statusOf(error) === 400) return undefined;
      throw daemonError(error, 'look for an image');
    }
  }

  async #askRegistry(image: string, { registries }: ResolveOptions): Promise<string> {
    const access = await registries();
    const authconfig = authFor(image, access);
    try {
      const answer = await this.#docker
        .getImage(withTag(image))
        .distribution(authconfig === undefined ? {} : { authconfig });
      return answer.Descriptor.digest;
    } catch (error) {
      throw await this.#pullError(image, access, error);
    }
  }

  async #pull(image: string, pinned: string, options: ResolveOptions): Promise<void> {
    const access = await options.registries();
    // One project's pull is not another's: the registry may give it to one of them alone.
    const key = JSON.stringify([pinned, authFor(image, access)]);
    const pull = this.#pulls.get(key) ?? this.#beginPull({ image, pinned, key, access });
    pull.listeners.add(options.onProgress);
    const { signal } = options;
    let onAbort = (): void => undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      await Promise.race([pull.done, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      pull.listeners.delete(options.onProgress);
      if (pull.listeners.size === 0) {
        // Nobody wants it any more; whoever wants it next begins anew.
        pull.abort.abort();
        this.#forget(key, pull);
      }
    }
  }

  #beginPull(wanted: WantedPull): Pull {
    const abort = new AbortController();
    const listeners = new Set<(progress: PullProgress) => void>();
    const tell = (progress: PullProgress): void => {
      for (const listener of listeners) listener(progress);
    };
    const done = this.#pullOn(wanted, tell, abort.signal).finally(() => this.#forget(wanted.key, pull));
    // Every caller waits for it; this only keeps an abandoned pull's error from ending the process.
    done.catch(() => undefined);
    const pull: Pull = { done, listeners, abort };
    this.#pulls.set(wanted.key, pull);
    return pull;
  }

  #forget(key: string, pull: Pull): void {
    if (this.#pulls.get(key) === pull) this.#pulls.delete(key);
  }

  async #pullOn(
    { image, pinned, access }: WantedPull,
    tell: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const authconfig = authFor(image, access);
    const tally = new PullTally(image);
    let toldAt = -Infinity;
    try {
      const stream = await this.#docker.pull(pinned, {
        abortSignal: signal,
        ...(authconfig === undefined ? {} : { authconfig }),
      });
      await new Promise<void>((resolve, reject) => {
        let failed: string | undefined;
        const onEvent = (event: PullEvent): void => {
          // An error comes inside an answer that began well, and `followProgress` does not report it.
          failed ??= event.error;
          tally.add(event);
          if (performance.now() - toldAt < progressEveryMs) return;
          toldAt = performance.now();
          tell(tally.progress);
        };
        const onFinished = (error: Error | null): void => {
          if (error !== null) reject(error);
          else if (failed !== undefined) reject(new Error(failed));
          else resolve();
        };
        this.#docker.modem.followProgress(stream, onFinished, onEvent);
      });
    } catch (error) {
      throw await this.#pullError(image, access, error);
    }
  }

  /** Registries' failures come as 500 (or 4xx) with nothing but words. */
  async #pullError(image: string, access: RegistryAccess, error: unknown): Promise<ExecutorError> {
    if (isUnreachable(error)) return daemonError(error, `pull ${image}`);
    const words = wordsOf(error).replaceAll('\n', ' ');
    const transient = isTransient(words, statusOf(error));
    const here = (await this.#inspect(withTag(image)).catch(() => undefined)) !== undefined;
    const remedy = transient ? '; is the registry reachable from this agent?' : accessRemedy(image, access);
    const local = here ? '; it exists on this agent, whose --local-images does not allow it' : '';
    // Docker's own registry says of names that it does not know that access is denied.
    const isElsewhere =
      here && (transient || (registryOf(image) === 'docker.io' && access.credentials.length === 0));
    return unavailable(image, `${words}${local}${isElsewhere ? '' : remedy}`, transient, error);
  }
}

const away =
  /connection refused|no such host|i\/o timeout|timeout|TLS handshake|temporary failure|server misbehaving|network is unreachable|no route to host|toomanyrequests|too many requests|unexpected EOF|connection reset|bad gateway|service unavailable|context deadline/i;
const refused =
  /manifest unknown|not found|unauthorized|denied|no basic auth|invalid reference|does not exist/i;

/** Whether trying again later can help: the registry was away, as opposed to having said no. */
export function isTransient(words: string, status: number | undefined): boolean {
  if (status === 400) return false;
  if (refused.test(words) && !/no such host/i.test(words)) return false;
  return away.test(words);
}

const unavailable = (image: string, message: string, transient: boolean, cause?: unknown): ExecutorError =>
  new ExecutorError({ kind: 'image-unavailable', image, message, transient }, { cause });
