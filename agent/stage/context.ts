/** One attempt in the making: what all parts of the recipe share. */
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { Report } from '../../shared/model/event.js';
import type { PresignObject } from '../../shared/model/agent.js';
import type { AttemptRecord } from './attempt-record.js';
import type { Outbox } from './outbox.js';
import type { StageSecrets } from './secrets.js';
import type { StepLogs } from './step-logs.js';
import type { StopSwitch } from './stop.js';
import type { Presign, StageTools } from './tools.js';

export interface AttemptContext {
  readonly ref: AttemptRef;
  readonly token: Token;
  /** Names the attempt in the agent's own log. */
  readonly key: string;
  readonly tools: StageTools;
  readonly record: AttemptRecord;
  readonly outbox: Outbox;
  readonly logs: StepLogs;
  readonly secrets: StageSecrets;
  readonly stop: StopSwitch;
}

/** Numbers the report, keeps it until acknowledged, sends it. Returns its number. */
export function report(context: AttemptContext, what: Report): number {
  return context.outbox.append(what, context.tools.now());
}

export function presignFor(context: AttemptContext): Presign {
  return (object: PresignObject, signal: AbortSignal) =>
    context.tools.session.presign(context.ref, context.token, object, signal);
}

/** Progress comes in floods (each layer of a pull, each percent of a fetch); people read twice a second. */
const progressMs = 500;

/** A progress function that lets a new activity through at once and its repetitions twice a second. */
export function progressOf(context: AttemptContext): (activity: string, fraction?: number) => void {
  let lastAt = -Infinity;
  let lastActivity = '';
  return (said, fraction) => {
    const activity = context.secrets.mask(said);
    const now = performance.now();
    if (activity === lastActivity && now - lastAt < progressMs) return;
    if (now - lastAt < progressMs / 10) return;
    lastAt = now;
    lastActivity = activity;
    context.tools.session.progress({
      ref: context.ref,
      token: context.token,
      activity,
      ...(fraction === undefined ? {} : { fraction }),
    });
  };
}
