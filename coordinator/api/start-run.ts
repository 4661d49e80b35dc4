/** The last step of everything that makes a run: its plan becomes durable, then the leader is asked. */
import { parseSha256, type RunId, type Sha256 } from '../../shared/model/ids.js';
import type { TakenStage } from '../../shared/model/event.js';
import type { Failure } from '../../shared/model/failure.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { sha256Hex } from '../access/keys.js';
import { maxEntryBytes } from '../journal/journal.js';
import { findEnvironment } from '../delivery/state.js';
import { outlineOf } from '../pipeline/outline.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface Submitted {
  readonly run: RunId;
  readonly again: boolean;
  readonly warnings: readonly string[];
}

/** Above this the outline of a run does not fit one entry of the journal. */
const maxOutlineBytes = maxEntryBytes - 64 * 1024;

export interface Submission {
  readonly plan: Plan;
  readonly digest: Sha256;
  /** Rejects when the code is not where the plan says. */
  readonly checkSource?: () => Promise<void>;
  readonly retryOf?: RunId;
  /** The run cannot begin: it is put on record as failed. */
  readonly failure?: Failure;
  readonly taken?: readonly TakenStage[];
}

/** Whether the run was accepted before. */
export async function startRun(services: Services, submission: Submission): Promise<boolean> {
  const { plan, digest, checkSource, retryOf, failure } = submission;
  const outlines = plan.stages.map(outlineOf);
  await checkEnvironments(services, plan);
  const bytes = Buffer.byteLength(JSON.stringify(outlines));
  if (bytes > maxOutlineBytes) {
    throw new ApiError(
      'invalid',
      `the pipeline is too large: names, needs and labels of its ${outlines.length} stages take ${bytes} bytes, at most ${maxOutlineBytes} fit`,
    );
  }
  const takenBytes = Buffer.byteLength(JSON.stringify(submission.taken ?? []));
  // What does not fit is run again.
  const taken = bytes + takenBytes > maxOutlineBytes ? [] : (submission.taken ?? []);
  // Side by side: each is a round trip. The plan of a refused run is swept at the next start.
  await Promise.all([services.plans.put(plan), checkSource?.()]);
  const answer = await services.coordinator.perform({
    kind: 'Submit',
    run: plan.run,
    digest,
    facts: plan.facts,
    stages: outlines,
    ...(retryOf === undefined ? {} : { retryOf }),
    ...(failure === undefined ? {} : { failure }),
    ...(taken.length === 0 ? {} : { taken }),
  });
  if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
  if (answer.kind !== 'accepted') throw new Error(`a submit was answered ${answer.kind}`);
  return answer.again;
}

/** Before a change lands, not when it is to be deployed, its author hears that there is no such place. */
async function checkEnvironments({ coordinator }: Services, { facts, stages }: Plan): Promise<void> {
  const names = new Set(
    stages.flatMap(({ environment }) => (environment === undefined ? [] : [environment])),
  );
  if (names.size === 0) return;
  const { project } = facts;
  const missing = await coordinator.read(({ state }) =>
    state.projects.has(project)
      ? [...names].filter(
          (environment) => findEnvironment(state.deliveries, { project, environment }) === undefined,
        )
      : [],
  );
  const [first] = missing;
  if (first === undefined) return;
  throw new ApiError(
    'invalid',
    `the pipeline deploys to ${missing.join(', ')}, and the project has no such environment: add it with \`gantry environments add ${first}\``,
  );
}

/** A run that is known already: the same content gets the same answer, other content is refused. */
export async function answeredBefore(
  services: Services,
  run: RunId,
  digest: Sha256,
): Promise<Submitted | undefined> {
  const known = await services.coordinator.read(
    ({ state }) => state.runs.get(run)?.digest ?? state.recorded.get(run)?.digest,
  );
  const before = known ?? (await services.history.index.get(run))?.digest;
  if (before === undefined) return undefined;
  if (before === digest) return { run, again: true, warnings: [] };
  throw new ApiError('refused', `run ${run} exists with other content: a new run needs a new id`);
}

/** Digest of a request's content, whatever the order of its keys. */
export function digestOf(content: unknown): Sha256 {
  const canonical = JSON.stringify(content, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  const digest = parseSha256(sha256Hex(canonical));
  if (digest === undefined) throw new Error('sha256Hex made something that is no SHA-256');
  return digest;
}
