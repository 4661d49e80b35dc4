/** A step that builds an image, as its executor is told: the context comes from the workspace, base images from the run. */
import { BlobError } from '../../shared/blob/blob-error.js';
import type { PlannedBuild } from '../../shared/model/pipeline.js';
import { ExecutorError, type BuildCommand } from '../executor/executor.js';
import { sameReferences } from '../executor/image-reference.js';
import { ContextError, packContext, sentDockerfile } from '../workspace/build-context.js';
import { basesOf, withBases } from '../workspace/dockerfile.js';
import { TreeAccessError } from '../workspace/safe-tree.js';
import { progressOf, type AttemptContext } from './context.js';
import { resolveImage } from './prepare.js';

export function buildCommand(context: AttemptContext, number: number, build: PlannedBuild): BuildCommand {
  const { tools, secrets, stop } = context;
  const onProgress = progressOf(context);
  return {
    number,
    build,
    dockerfile: sentDockerfile,
    context: (say, signal) => packed(context, { number, build, say, signal }),
    registries: () => secrets.registries(stop.wanted),
    onProgress: ({ activity, fraction }) => onProgress(activity, fraction),
    logLimitBytes: tools.settings.logLimitBytes,
  };
}

interface Packing {
  readonly number: number;
  readonly build: PlannedBuild;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

async function* packed(context: AttemptContext, packing: Packing): AsyncGenerator<Uint8Array, void> {
  const { number, build, say, signal } = packing;
  try {
    yield* packContext({
      workspace: context.tools.workspaces.at(context.ref).workspace,
      ...(build.context === undefined ? {} : { directory: build.context }),
      file: build.file,
      rewrite: (text) => onResolvedBases(context, packing, text),
      onSkipped: (path, why) => say(`${path} is left out: ${why}`),
      signal,
    });
  } catch (error) {
    const isTheirs =
      error instanceof ContextError || error instanceof TreeAccessError || error instanceof BlobError;
    if (!isTheirs) throw error;
    throw new ExecutorError({ kind: 'build-failed', step: number, message: error.message }, { cause: error });
  }
}

/** The Dockerfile upon images by their digests: that an image is on this machine proves nothing. */
async function onResolvedBases(
  context: AttemptContext,
  { build, say, signal }: Packing,
  text: string,
): Promise<string> {
  const bases = basesOf(text, build);
  const images = new Map<string, string>();
  for (const { image } of bases) {
    if (images.has(image)) continue;
    const digest =
      builtHere(context, image) ?? (await resolveImage(context, image, progressOf(context), signal));
    say(`${image} is ${digest}`);
    images.set(image, digest);
  }
  const resolved = bases.map(({ image }) => images.get(image) ?? image);
  return withBases(text, bases, resolved);
}

/** What an earlier step of the attempt gave this name to. */
function builtHere({ record }: AttemptContext, image: string): string | undefined {
  const tags = [...record.state.steps.values()].flatMap(({ ended }) => ended?.result.built?.tags ?? []);
  const names = sameReferences(image);
  return tags.findLast((tag) => names.includes(tag.image))?.digest;
}
