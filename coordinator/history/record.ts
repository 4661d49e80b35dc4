/**
 * A run after its end: `runs/<run>/record.json.gz` in storage. It holds what the journal said about the run, so that
 * `show`, `watch`, `logs` and `retry` work after the state has let it go.
 */
import { gunzip, gzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { recordKey } from '../../shared/blob/layout.js';
import type { Event, LogDigest } from '../../shared/model/event.js';
import type { ProjectId, RunId, Sha256 } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { RunView } from '../../shared/model/run.js';
import type { RunState, StageState } from '../scheduler/state.js';

/** Where the results of one stage are: of its latest attempt. */
export interface StageResult {
  readonly stage: number;
  readonly attempt: number;
  readonly ended: boolean;
  readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
  /** Of the finished attempt: exact lengths; empty while it runs. */
  readonly logs: readonly LogDigest[];
  /** The logs are in storage. */
  readonly archived: boolean;
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
  readonly results: readonly StageResult[];
  readonly plan: Plan;
  readonly events: readonly RunEvent[];
}

export const stageResults = (run: RunState): readonly StageResult[] => run.stages.flatMap(stageResult);

function stageResult(stage: StageState): readonly StageResult[] {
  const attempt = stage.attempts.at(-1);
  if (attempt === undefined) return [];
  const base = {
    stage: stage.outline.number,
    attempt: attempt.number,
    ended: stage.phase.kind === 'ended',
  };
  if (attempt.phase.kind !== 'finished') return [{ ...base, logs: [], archived: false }];
  const { manifest, logs, archived } = attempt.phase;
  return [{ ...base, logs, archived, ...(manifest === undefined ? {} : { manifest }) }];
}

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
  // Written by `storeRecord` of this or an older version, which kept the shape of `v: 1`.
  return JSON.parse((await unzip(bytes)).toString()) as RunRecord;
}
