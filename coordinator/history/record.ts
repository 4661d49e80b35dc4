/**
 * A run after its end: `runs/<run>/record.json.gz` in storage. It holds what the journal said about the run, so that
 * `show`, `watch`, `logs` and `retry` work after the state has let it go.
 */
import { gunzip, gzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { recordKey } from '../../shared/blob/layout.js';
import type { BuiltImage, Event, LogDigest } from '../../shared/model/event.js';
import type { AttemptRef, ProjectId, RunId, Sha256 } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { RunView } from '../../shared/model/run.js';
import type { AttemptState, RunState } from '../scheduler/state.js';

/** Where what an attempt left is. */
export interface AttemptResult {
  readonly stage: number;
  readonly attempt: number;
  /** It was made in another run, where all that it left is. */
  readonly from?: AttemptRef;
  readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
  /** Exact lengths once it has finished; empty while it runs, and of a lost one until it is archived. */
  readonly logs: readonly LogDigest[];
  /** The logs are in storage. */
  readonly archived: boolean;
  /** What it built; absent: nothing. */
  readonly images?: readonly BuiltImage[];
}

export interface RunEvent {
  readonly sequence: number;
  readonly at: number;
  readonly event: Event;
}

export interface RunRecord {
  readonly v: 1;
  readonly projectId: ProjectId;
  readonly digest: Sha256;
  readonly view: RunView;
  /** All attempts of a stage stand together, in order. */
  readonly results: readonly AttemptResult[];
  readonly plan: Plan;
  readonly events: readonly RunEvent[];
}

export const attemptResults = (run: RunState): readonly AttemptResult[] =>
  run.stages.flatMap((stage) => stage.attempts.map(attemptResult));

function attemptResult({ stage, number, phase, from, images }: AttemptState): AttemptResult {
  const base = { stage: stage.outline.number, attempt: number, ...(from === undefined ? {} : { from }) };
  if (phase.kind !== 'finished') return { ...base, logs: [], archived: false };
  const { manifest, logs, archived } = phase;
  return {
    ...base,
    logs,
    archived,
    ...(manifest === undefined ? {} : { manifest }),
    ...(images === undefined ? {} : { images }),
  };
}

/** Of a stage's latest attempt. */
export const latestResult = (results: readonly AttemptResult[], stage: number): AttemptResult | undefined =>
  results.findLast((one) => one.stage === stage);

const zip = promisify(gzip);
const unzip = promisify(gunzip);
/** A record is bounded by its plan (16 MB) and the events of its stages. */
const maxRecordBytes = 64 * 1024 * 1024;

export async function storeRecord(blobs: BlobStore, record: RunRecord): Promise<void> {
  const bytes = await zip(Buffer.from(JSON.stringify(record)), { level: 1 });
  await blobs.put(recordKey(record.view.run), bytes, { contentType: 'application/gzip' });
}

/** Throws BlobError, also when there is none. */
export async function loadRecord(blobs: BlobStore, run: RunId): Promise<RunRecord> {
  const bytes = await blobs.getBytes(recordKey(run), { maxBytes: maxRecordBytes });
  // Written by `storeRecord` of this or an older version, which kept the shape of `v: 1` and knew less of it.
  return completed(JSON.parse((await unzip(bytes)).toString()) as RunRecord);
}

/** With nulls for what older versions did not write. */
function completed(record: RunRecord): RunRecord {
  const { view } = record;
  return {
    ...record,
    view: {
      ...{ failure: null, failing: null },
      ...view,
      stages: view.stages.map((stage) => ({
        ...{ whySkipped: null },
        ...stage,
        attempts: stage.attempts.map((attempt) => ({ ...{ takenFrom: null }, ...attempt })),
        steps: stage.steps.map((step) => ({ ...{ incomplete: null }, ...step })),
      })),
    },
  };
}
