import type { Failure as FailureMessage, Failure__Output } from './gen/gantry/v1/Failure.js';
import { blameOf, describeFailure, type Failure } from '../model/failure.js';
import { WireError } from './wire-error.js';

export function failureToWire(failure: Failure): FailureMessage {
  const message: FailureMessage = {
    kind: failure.kind,
    message: describeFailure(failure),
    whose: blameOf(failure),
  };
  if ('step' in failure) message.step = failure.step;
  if ('message' in failure) message.detail = failure.message;
  if ('transient' in failure) message.transient = failure.transient;
  switch (failure.kind) {
    case 'exit-code':
      return { ...message, exitCode: failure.exitCode };
    case 'timed-out':
      return { ...message, limit: failure.limitMs };
    case 'log-limit':
      return { ...message, limit: failure.limitBytes };
    case 'out-of-memory':
      return failure.limitBytes === undefined ? message : { ...message, limit: failure.limitBytes };
    case 'canceled':
      return { ...message, subject: failure.by };
    case 'image-unavailable':
      return { ...message, subject: failure.image };
    case 'service-failed':
      return { ...message, subject: failure.service };
    case 'artifact-missing':
      return { ...message, subject: failure.artifact, detail: failure.pattern };
    case 'artifact-refused':
      return { ...message, subject: failure.artifact };
    case 'artifact-conflict':
      return { ...message, subject: failure.path };
    case 'secret-unavailable':
      return { ...message, subject: failure.secret };
    case 'agent-lost':
    case 'agent-stopped':
    case 'disk-full':
      return { ...message, subject: failure.agent };
    case 'build-failed':
    case 'invalid-pipeline':
    case 'not-deployed':
    case 'checkout-failed':
    case 'storage-unavailable':
    case 'box-broken':
    case 'no-agent':
    case 'internal':
      return message;
  }
}

export function failureFromWire(message: Failure__Output): Failure {
  const step = message.step ?? 0;
  const detail = message.detail ?? message.message ?? '';
  const subject = message.subject ?? '';
  const transient = message.transient ?? false;
  const limit = message.limit ?? 0;
  switch (message.kind) {
    case 'exit-code':
      return { kind: 'exit-code', step, exitCode: message.exitCode ?? -1 };
    case 'timed-out':
      return message.step === undefined
        ? { kind: 'timed-out', limitMs: limit }
        : { kind: 'timed-out', step, limitMs: limit };
    case 'out-of-memory':
      return message.limit === undefined
        ? { kind: 'out-of-memory', step }
        : { kind: 'out-of-memory', step, limitBytes: limit };
    case 'log-limit':
      return { kind: 'log-limit', step, limitBytes: limit };
    case 'canceled':
      return { kind: 'canceled', by: subject };
    case 'checkout-failed':
      return { kind: 'checkout-failed', message: detail, transient };
    case 'image-unavailable':
      return { kind: 'image-unavailable', image: subject, message: detail, transient };
    case 'build-failed':
      return { kind: 'build-failed', step, message: detail };
    case 'service-failed':
      return { kind: 'service-failed', service: subject, message: detail };
    case 'artifact-missing':
      return { kind: 'artifact-missing', artifact: subject, pattern: detail };
    case 'artifact-refused':
      return { kind: 'artifact-refused', artifact: subject, message: detail };
    case 'artifact-conflict':
      return { kind: 'artifact-conflict', path: subject, message: detail };
    case 'secret-unavailable':
      return { kind: 'secret-unavailable', secret: subject, message: detail };
    case 'agent-lost':
      return { kind: 'agent-lost', agent: subject, message: detail };
    case 'agent-stopped':
      return { kind: 'agent-stopped', agent: subject };
    case 'disk-full':
      return { kind: 'disk-full', agent: subject, message: detail };
    case 'invalid-pipeline':
    case 'not-deployed':
    case 'storage-unavailable':
    case 'box-broken':
    case 'no-agent':
    case 'internal':
      return { kind: message.kind, message: detail };
    default:
      throw new WireError('failure.kind', 'a kind of failure', message.kind);
  }
}
