import type { LogPiece__Output } from '../../../shared/wire/gen/gantry/v1/LogPiece.js';
import type { LogPiece } from './log-reader.js';

export const pieceFromWire = (message: LogPiece__Output): LogPiece => ({
  stage: message.stage ?? 0,
  title: message.title ?? '',
  attempt: message.attempt ?? 0,
  step: message.step ?? 0,
  stepName: message.stepName ?? '',
  offset: message.offset ?? 0,
  bytes: message.bytes ?? new Uint8Array(),
  at: message.at ?? '',
  missing: message.missing ?? '',
});
