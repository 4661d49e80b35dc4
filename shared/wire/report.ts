import type { Report as ReportMessage, Report__Output } from './gen/gantry/v1/Report.js';
import type { Report } from '../model/event.js';
import { parseSha256, type AttemptRef, type Token } from '../model/ids.js';
import { failureFromWire, failureToWire } from './failure.js';
import { attemptRefFromWire, attemptRefToWire, tokenFromWire } from './refs.js';
import { WireError, oneOf, parsed } from './wire-error.js';

/** A numbered report on its way. `ageMs`: how long ago it happened, so that no two clocks are compared. */
export interface SentReport {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly n: number;
  readonly ageMs: number;
  readonly report: Report;
}

export function reportToWire(sent: SentReport): ReportMessage {
  return {
    ref: attemptRefToWire(sent.ref),
    token: sent.token,
    n: sent.n,
    ageMs: Math.max(0, Math.round(sent.ageMs)),
    ...bodyToWire(sent.report),
  };
}

function bodyToWire(report: Report): ReportMessage {
  switch (report.kind) {
    case 'AttemptStarted':
      return { attemptStarted: { executor: report.executor, note: report.note ?? '' } };
    case 'ImageResolved':
      return {
        imageResolved: { image: report.image, digest: report.digest, built: report.built ?? false },
      };
    case 'StepStarted':
      return { stepStarted: { step: report.step, shell: report.shell } };
    case 'StepFinished':
      return {
        stepFinished: {
          step: report.step,
          durationMs: Math.round(report.durationMs),
          ...(report.exitCode === undefined ? {} : { exitCode: report.exitCode }),
          ...(report.failure === undefined ? {} : { failure: failureToWire(report.failure) }),
          incomplete: report.incomplete ?? '',
        },
      };
    case 'AttemptFinished':
      return {
        attemptFinished: {
          status: report.status,
          logs: report.logs.map((log) => ({ ...log })),
          ...(report.failure === undefined ? {} : { failure: failureToWire(report.failure) }),
          ...(report.manifest === undefined ? {} : { manifest: { ...report.manifest } }),
        },
      };
    case 'LogsArchived':
      return { logsArchived: {} };
  }
}

export function reportFromWire(message: Report__Output): SentReport {
  const n = message.n ?? 0;
  if (n < 1) throw new WireError('report.n', 'a number from 1', n);
  return {
    ref: attemptRefFromWire(message.ref),
    token: tokenFromWire(message.token),
    n,
    ageMs: Math.max(0, message.ageMs ?? 0),
    report: bodyFromWire(message),
  };
}

function bodyFromWire(message: Report__Output): Report {
  switch (message.report) {
    case 'attemptStarted': {
      const body = message.attemptStarted ?? {};
      return {
        kind: 'AttemptStarted',
        executor: body.executor ?? '',
        ...(body.note === undefined || body.note === '' ? {} : { note: body.note }),
      };
    }
    case 'imageResolved':
      return {
        kind: 'ImageResolved',
        image: message.imageResolved?.image ?? '',
        digest: message.imageResolved?.digest ?? '',
        ...(message.imageResolved?.built === true ? { built: true } : {}),
      };
    case 'stepStarted':
      return {
        kind: 'StepStarted',
        step: message.stepStarted?.step ?? 0,
        shell: message.stepStarted?.shell ?? '',
      };
    case 'stepFinished': {
      const body = message.stepFinished ?? {};
      return {
        kind: 'StepFinished',
        step: body.step ?? 0,
        durationMs: body.durationMs ?? 0,
        ...(body.exitCode === undefined ? {} : { exitCode: body.exitCode }),
        ...(body.failure === undefined ? {} : { failure: failureFromWire(body.failure) }),
        ...(body.incomplete === undefined || body.incomplete === '' ? {} : { incomplete: body.incomplete }),
      };
    }
    case 'attemptFinished': {
      const body = message.attemptFinished ?? {};
      return {
        kind: 'AttemptFinished',
        status: oneOf('status', ['succeeded', 'failed', 'canceled'], body.status),
        logs: (body.logs ?? []).map((log) => ({
          step: log.step ?? 0,
          bytes: log.bytes ?? 0,
          sha256: parsed('log.sha256', 'a SHA-256', parseSha256, log.sha256),
        })),
        ...(body.failure === undefined ? {} : { failure: failureFromWire(body.failure) }),
        ...(body.manifest === undefined
          ? {}
          : {
              manifest: {
                sha256: parsed('manifest.sha256', 'a SHA-256', parseSha256, body.manifest.sha256),
                bytes: body.manifest.bytes ?? 0,
              },
            }),
      };
    }
    case 'logsArchived':
      return { kind: 'LogsArchived' };
    default:
      throw new WireError('report', 'one of the reports', message);
  }
}
