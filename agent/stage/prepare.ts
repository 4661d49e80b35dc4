/**
 * From an assignment to a box whose workspace holds the code and the artifacts of the needed stages.
 *
 *     slot ───────────────────────┬─ checkout ─── artifacts of needs ─┬─ hand the files to the box's user ─► ready
 *     images, pulled if needed ───┴─ box, services ───────────────────┤   (the box: from a likely image meanwhile)
 *     secrets ────────────────────────────────────────────────────────┘
 *
 * The lines run side by side: the box only needs the slot's directories. When one fails the others are given up. With a likely image
 * the box is asked for before anything else: 2 to 3 ms of 11 from submit to that request (npm run bench -- start).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Assignment } from '../../shared/model/agent.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { PlannedService } from '../../shared/model/pipeline.js';
import { sameReferences } from '../executor/image-reference.js';
import type { Box, BoxSpec, SlotDirectories } from '../executor/executor.js';
import { presignFor, progressOf, report, type AttemptContext } from './context.js';
import type { RecordLine } from './attempt-state.js';
import type { OnProgress } from './tools.js';

type Ready = Extract<RecordLine, { kind: 'ready' }>;

/** The box, ready for the first step. Throws the failure's error; what was begun is removed then. */
export async function prepare(context: AttemptContext): Promise<Box> {
  const { record, stop } = context;
  const { workspaces } = context.tools;
  const both = new AbortController();
  const signal = AbortSignal.any([stop.wanted, both.signal]);
  const likely = likelyReady(context);
  const resolving = likely ?? resolveImages(context, signal);
  const knowing = context.secrets.get(signal);
  // Nothing waits for this line: a slot that the record does not know of is made anew by the next process.
  const noting = record.append({ kind: 'preparing' });
  // Looked at below, unless something else fails before.
  for (const each of [Promise.resolve(resolving), knowing, noting]) each.catch(() => undefined);
  const slot = await makeSlot(context).catch((error: unknown) => {
    both.abort(error);
    throw error;
  });
  const boxing =
    likely === undefined
      ? openBox(context, slot, resolving, signal)
      : openLikely(context, { slot, likely }, signal);
  const filling = afterTheRequest().then(() => fill(context, slot, signal));
  try {
    const [, { box, ready }] = await Promise.all([filling, boxing, knowing, noting]);
    await workspaces.giveTo(slot, box.owner);
    stop.wanted.throwIfAborted();
    await record.append(ready);
    return box;
  } catch (error) {
    both.abort(error);
    const [, boxed] = await Promise.allSettled([filling, boxing, knowing]);
    if (boxed.status === 'fulfilled') await removeUnused(context, boxed.value.box);
    throw error;
  }
}

/**
 * Filling begins with starting git, which holds up this process for 2 ms and more. The request for the container is on its way
 * after two turns of the loop (its connection, its bytes), and the daemon works while git does.
 */
async function afterTheRequest(): Promise<void> {
  await nextTurn();
  await nextTurn();
}

async function makeSlot({ stop, tools, ref }: AttemptContext): Promise<SlotDirectories> {
  const slot = await tools.workspaces.create(ref);
  stop.wanted.throwIfAborted();
  return slot;
}

/** Its failure would hide why the box is not needed any more; a sweep at the next start removes what is left. */
async function removeUnused({ tools, key }: AttemptContext, box: Box): Promise<void> {
  try {
    await box.remove();
  } catch (error) {
    tools.log.warn({ attempt: key, err: error }, 'the unused box could not be removed');
  }
}

/** What the executor must know of a box, also to find it again. */
export function boxSpec(
  context: AttemptContext,
  slot: SlotDirectories,
  ready: Pick<Ready, 'image' | 'services'>,
  onProgress: OnProgress,
): BoxSpec {
  const { user } = context.record.state.assignment.plan;
  return {
    ref: context.ref,
    token: context.token,
    slot,
    ...(ready.image === undefined ? {} : { image: ready.image }),
    ...(user === undefined || ready.image === undefined ? {} : { user }),
    services: ready.services,
    onProgress: ({ activity, fraction }) => onProgress(activity, fraction),
  };
}

async function fill(context: AttemptContext, slot: SlotDirectories, signal: AbortSignal): Promise<void> {
  const { source, facts, needs } = context.record.state.assignment;
  const { workspaces, artifacts } = context.tools;
  const presign = presignFor(context);
  const onProgress = progressOf(context);
  const credential = (): Promise<GitCredential | undefined> => context.secrets.checkout(signal);
  await workspaces.checkout({ source, facts, slot, presign, credential, onProgress }, signal);
  signal.throwIfAborted();
  if (needs.length > 0) await artifacts.restore({ needs, slot, presign, onProgress }, signal);
}

/** What boxes and services are started from. */
async function resolveImages(context: AttemptContext, signal: AbortSignal): Promise<Ready> {
  const { plan } = context.record.state.assignment;
  const { settings } = context.tools;
  const onProgress = progressOf(context);
  const resolve = (image: string): Promise<string> => resolveImage(context, image, onProgress, signal);
  const stageImage = settings.ignoreImage ? undefined : plan.image;
  const [image, ...services] = await Promise.all([
    stageImage === undefined ? undefined : resolve(stageImage),
    ...plan.services.map(async (service): Promise<PlannedService> => ({
      ...service,
      image: await resolve(service.image),
    })),
  ]);
  return { kind: 'ready', services, ...(image === undefined ? {} : { image }) };
}

interface Opened {
  readonly box: Box;
  readonly ready: Ready;
}

async function openBox(
  context: AttemptContext,
  slot: SlotDirectories,
  resolving: Ready | Promise<Ready>,
  signal: AbortSignal,
): Promise<Opened> {
  const ready = await resolving;
  signal.throwIfAborted();
  const spec = boxSpec(context, slot, ready, progressOf(context));
  return { box: await context.tools.executor.openBox(spec, signal), ready };
}

/** From the likely image; the daemon is asked for the box first, on its warm connection, and for the image after it. */
async function openLikely(
  context: AttemptContext,
  from: { readonly slot: SlotDirectories; readonly likely: Ready },
  signal: AbortSignal,
): Promise<Opened> {
  const { slot, likely } = from;
  const guess = new AbortController();
  const opening = openBox(context, slot, likely, AbortSignal.any([signal, guess.signal]));
  // Looked at once the image is known.
  opening.catch(() => undefined);
  const giveUp = async (why: unknown): Promise<void> => {
    guess.abort(why);
    const opened = await opening.catch(() => undefined);
    if (opened !== undefined) await removeUnused(context, opened.box);
  };
  await afterTheRequest();
  const ready = await resolveImages(context, signal).catch(async (error: unknown) => {
    await giveUp(error);
    throw error;
  });
  if (ready.image === likely.image) {
    const opened = await opening.catch(() => undefined);
    if (opened !== undefined) return { ...opened, ready };
  } else {
    await giveUp(new Error('the image is another than it was the last time'));
  }
  return openBox(context, slot, ready, signal);
}

/**
 * What the image probably is: the box is opened from it while that is found out, which takes a few ms of the daemon and,
 * over a network, the round trips of a registry. No step runs before it is certain. A service would run its own program at
 * once, so a stage that has some waits.
 */
function likelyReady({ record, tools }: AttemptContext): Ready | undefined {
  const { plan } = record.state.assignment;
  if (plan.image === undefined || tools.settings.ignoreImage || plan.services.length > 0) return undefined;
  const image = tools.executor.likelyImage(plan.image, pinOf(record.state.assignment, plan.image));
  return image === undefined ? undefined : { kind: 'ready', image, services: [] };
}

/** What the run has taken this image for before, on any agent. */
function pinOf({ images }: Assignment, image: string): string | undefined {
  const known = sameReferences(image).find((each) => Object.hasOwn(images, each));
  return known === undefined ? undefined : images[known];
}

/** By the run's pin where it has one; what is found is reported. */
export async function resolveImage(
  context: AttemptContext,
  image: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> {
  const pinned = pinOf(context.record.state.assignment, image);
  const digest = await context.tools.executor.resolveImage(image, {
    ...(pinned === undefined ? {} : { pinned }),
    registries: () => context.secrets.registries(signal),
    onProgress: ({ activity, fraction }) => onProgress(activity, fraction),
    signal,
  });
  if (pinned === undefined) report(context, { kind: 'ImageResolved', image, digest });
  return digest;
}
