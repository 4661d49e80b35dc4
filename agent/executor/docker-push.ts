/**
 * Names for a built image, and its way to registries. A daemon pushes whatever a name means at that moment, and others give
 * the same name to their images: so one name is given and pushed by one at a time, and afterwards the daemon must know
 * our image by the digest that the registry told.
 */
import type Docker from 'dockerode';
import type { InTurn } from '../../shared/async/in-turn.js';
import { registryOf, type RegistryAccess } from '../../shared/model/registry.js';
import { accessRemedy, authFor } from './docker-auth.js';
import { daemonError, isUnreachable, statusOf, wordsOf } from './docker-daemon.js';
import { daemonEvents, logText, type DaemonEvent } from './docker-events.js';
import { isTransient } from './docker-images.js';
import { ExecutorError, type BuiltImage, type PullProgress } from './executor.js';
import { canonicalName, parseImageReference, withTag } from './image-reference.js';

export interface Publication {
  readonly docker: Docker;
  /** By name: of all boxes of the agent. */
  readonly turns: InTurn<string>;
  readonly id: string;
  readonly tags: readonly string[];
  readonly push: boolean;
  readonly registries: () => Promise<RegistryAccess>;
  readonly say: (text: string) => Promise<void>;
  readonly onProgress: (progress: PullProgress) => void;
  readonly signal: AbortSignal;
}

/** How often another agent on the same daemon may take the name away between tag and push. */
const tries = 3;

/** Gives the image its tags and pushes them; what each means from then on. */
export async function publish(publication: Publication): Promise<BuiltImage> {
  const { turns, tags, id, push } = publication;
  const known: { readonly image: string; readonly digest: string }[] = [];
  for (const tag of tags) {
    const digest = await turns.do(withTag(tag), () =>
      push ? pushTag(publication, tag) : nameIt(publication, tag),
    );
    known.push({ image: tag, digest });
  }
  return { reference: known[0]?.digest ?? id, tags: known };
}

async function nameIt({ docker, id, signal, say }: Publication, tag: string): Promise<string> {
  signal.throwIfAborted();
  const { name, tag: version = 'latest' } = parseImageReference(tag);
  try {
    await docker.getImage(id).tag({ repo: name, tag: version });
  } catch (error) {
    throw daemonError(error, `name the image ${tag}`);
  }
  await say(`Tagged ${withTag(tag)}\n`);
  return id;
}

async function pushTag(publication: Publication, tag: string): Promise<string> {
  const { docker, id } = publication;
  const { name } = parseImageReference(tag);
  for (let left = tries; left > 0; left -= 1) {
    await nameIt(publication, tag);
    const digest = await pushOnce(publication, tag);
    const { RepoDigests: digests } = await docker.getImage(id).inspect();
    const isOurs = digests.some((each) => {
      const known = parseImageReference(each);
      return known.digest === digest && canonicalName(known.name) === canonicalName(name);
    });
    if (isOurs) return `${name}@${digest}`;
  }
  const message = 'another image was given this name while it was pushed';
  throw new ExecutorError({ kind: 'image-unavailable', image: tag, message, transient: true });
}

async function pushOnce(publication: Publication, tag: string): Promise<string> {
  const { docker, say, onProgress, signal } = publication;
  const { name, tag: version = 'latest' } = parseImageReference(tag);
  const access = await publication.registries();
  onProgress({ activity: `pushing ${tag}` });
  let digest: string | undefined;
  try {
    const stream = await docker.getImage(name).push({
      tag: version,
      // The daemon wants one, also where there is nothing to say.
      authconfig: authFor(tag, access) ?? { username: '', password: '', serveraddress: '' },
      abortSignal: signal,
    });
    const layers = new Map<string, string>();
    // By its type it may have been read as text; nobody has asked for that.
    for await (const event of daemonEvents(stream as AsyncIterable<Buffer>)) {
      await say(logText(event));
      if (event.error !== undefined) throw new Error(event.error);
      digest ??= event.aux?.Digest;
      onProgress({ activity: activityOf(tag, event, layers) });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw pushError(tag, error, access);
  }
  if (digest === undefined) throw pushError(tag, new Error('the registry told no digest'), access);
  return digest;
}

function activityOf(tag: string, { id, status }: DaemonEvent, layers: Map<string, string>): string {
  if (id !== undefined && status !== undefined) layers.set(id, status);
  const done = [...layers.values()].filter((each) => /^(?:Pushed|Layer already exists|Mounted)/.test(each));
  return layers.size === 0 ? `pushing ${tag}` : `pushing ${tag}: ${done.length} of ${layers.size} layers`;
}

function pushError(tag: string, error: unknown, access: RegistryAccess): ExecutorError {
  if (isUnreachable(error)) return daemonError(error, `push ${tag}`);
  const words = wordsOf(error).replaceAll('\n', ' ').trim();
  const transient = isTransient(words, statusOf(error));
  const host = registryOf(tag);
  const remedy = transient ? `; is ${host} reachable from this agent?` : accessRemedy(tag, access);
  const message = `it cannot be pushed: ${words}${remedy}`;
  return new ExecutorError({ kind: 'image-unavailable', image: tag, message, transient }, { cause: error });
}
