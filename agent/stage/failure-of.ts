/** The one door through which an exception becomes the failure of an attempt. */
import { BlobError } from '../../shared/blob/blob-error.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { Failure } from '../../shared/model/failure.js';
import { ArtifactError } from '../artifacts/artifact-error.js';
import { ExecutorError } from '../executor/executor.js';
import { SessionRefused } from '../session/session.js';
import { failureOfStop, Stopped } from './stop.js';
import { StageError } from './tools.js';

/** `agent`: the agent's name, for messages. */
export function failureOf(error: unknown, agent: string): Failure {
  if (error instanceof Stopped) {
    return failureOfStop(error.reason, agent) ?? { kind: 'internal', message: error.message };
  }
  if (
    error instanceof ExecutorError ||
    error instanceof CheckoutError ||
    error instanceof ArtifactError ||
    error instanceof StageError
  ) {
    return error.failure;
  }
  if (error instanceof BlobError) return { kind: 'storage-unavailable', message: error.message };
  if (isDiskFull(error)) return { kind: 'disk-full', agent, message: diskFullMessage(error) };
  if (error instanceof SessionRefused) {
    return { kind: 'internal', message: `the coordinator refused agent ${agent}: ${error.message}` };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'internal', message: `agent ${agent}: ${message}` };
}

export function isDiskFull(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

const diskFullMessage = (error: NodeJS.ErrnoException): string =>
  `the disk is full (${error.message}): free some space, or give the agent another data directory`;
