/** The storage layout: one bucket, keys made of numbers and ids only. */
import type { AttemptRef, RunId, Sha256 } from '../model/ids.js';

const attemptPrefix = (ref: AttemptRef): string => `runs/${ref.run}/${ref.stage}/${ref.attempt}`;

/** Exact bytes of a step's log, after masking. */
export const logKey = (ref: AttemptRef, step: number): string => `${attemptPrefix(ref)}/logs/${step}.log`;
/** When each chunk of that log was written: lines of `<offset> <wall ms>`. */
export const logIndexKey = (ref: AttemptRef, step: number): string =>
  `${attemptPrefix(ref)}/logs/${step}.idx`;
/** A single file as it is, or many as one seekable `.tar.gz`. */
export const artifactKey = (ref: AttemptRef, artifact: number): string =>
  `${attemptPrefix(ref)}/artifacts/${artifact}`;
export const manifestKey = (ref: AttemptRef): string => `${attemptPrefix(ref)}/manifest.json`;
/** The whole run, once it has ended. */
export const recordKey = (run: RunId): string => `runs/${run}/record.json.gz`;
/** A submitted tree. */
export const bundleKey = (digest: Sha256): string => `sources/${digest}.bundle`;
