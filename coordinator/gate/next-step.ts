/**
 * What an entry's state calls for: a fact to record, an effect to ask for, or something to wait for. `decideGate` does
 * it and `reasonsOf` puts the waiting into words, so that they cannot disagree.
 */
import type { Ejection } from '../../shared/model/ejection.js';
import type { GatePause, GateSettings, RebuildReason } from '../../shared/model/gate.js';
import type { CommitId, RunId } from '../../shared/model/ids.js';
import { baseFor } from './chain.js';
import type { GateContext } from './command.js';
import { isVerified, type TargetPresence } from './presence.js';
import { baseOf, mayPush, type EntryPhase, type Fault, type Gate, type GateEntry } from './state.js';

export type Wait =
  | { readonly kind: 'no-settings' }
  | { readonly kind: 'paused'; readonly pause: GatePause }
  /** The target is being looked at. */
  | { readonly kind: 'unverified' }
  /** More entries are ahead of it than are tested at once. */
  | { readonly kind: 'depth'; readonly depth: number }
  /** The entry ahead is still to be merged. */
  | { readonly kind: 'merge-ahead'; readonly entry: GateEntry }
  /** Its outcome is known on top of entries that have not landed: it counts if they do. */
  | {
      readonly kind: 'outcome-depends';
      readonly phase: Extract<EntryPhase, { kind: 'conflicted' | 'contained' | 'red' }>;
    }
  | { readonly kind: 'tested'; readonly run: RunId; readonly status: 'waiting' | 'running' }
  /** Wall time. */
  | { readonly kind: 'retry'; readonly fault: Fault; readonly untilMs: number }
  | { readonly kind: 'order'; readonly head: GateEntry }
  | { readonly kind: 'push-answer' };

export type Step =
  | { readonly kind: 'eject'; readonly ejection: Ejection }
  | { readonly kind: 'already-landed' }
  | { readonly kind: 'rebuild'; readonly reason: RebuildReason }
  /** The run takes longer than the limit, and works. */
  | { readonly kind: 'give-up'; readonly run: RunId; readonly limitMs: number }
  | { readonly kind: 'pause'; readonly pause: GatePause }
  | { readonly kind: 'begin-push' }
  | { readonly kind: 'merge'; readonly base: CommitId }
  | { readonly kind: 'start-run' }
  /** Its run goes on; a fresh leader asks once how it is. `untilMs`: when it hangs, wall time. */
  | { readonly kind: 'follow-run'; readonly untilMs: number; readonly wait: Wait }
  | { readonly kind: 'push'; readonly wait: Wait }
  | { readonly kind: 'wait'; readonly wait: Wait };

export interface Sight {
  readonly gate: Gate;
  readonly target: TargetPresence;
  readonly settings: GateSettings | undefined;
  readonly context: GateContext;
}

/** How long a candidate rests after its n-th run that failed by our fault. */
const faultRestMs = (faults: number): number => Math.min(300_000, 5_000 * 2 ** faults);

const wait = (what: Wait): Step => ({ kind: 'wait', wait: what });

/** `place`: of the entry in its queue, from 0. */
export function nextStep(sight: Sight, entry: GateEntry, place: number): Step {
  const { gate, target, settings } = sight;
  const { phase } = entry;
  if (phase.kind === 'pushing') {
    const isMade = isVerified(target) && mayPush(gate, entry);
    return isMade ? { kind: 'push', wait: { kind: 'push-answer' } } : wait({ kind: 'push-answer' });
  }
  if (entry.leaving !== undefined) return { kind: 'eject', ejection: entry.leaving };
  // A person's will is done, whatever else is the matter.
  if (phase.kind === 'red' && phase.verdict.kind === 'canceled') {
    return { kind: 'eject', ejection: { kind: 'run-canceled', run: phase.run, by: phase.verdict.by } };
  }
  if (settings === undefined) return wait({ kind: 'no-settings' });
  if (gate.paused !== undefined) return wait({ kind: 'paused', pause: gate.paused.pause });
  if (!isVerified(target)) return wait({ kind: 'unverified' });
  if (phase.kind === 'queued' && place >= settings.depth)
    return wait({ kind: 'depth', depth: settings.depth });
  return onVerified(sight, settings, entry);
}

/** The tip is the target's, and the gate may go on. */
function onVerified({ gate, context }: Sight, settings: GateSettings, entry: GateEntry): Step {
  const { phase } = entry;
  const base = baseFor(gate, entry);
  if (base.kind === 'unknown') return wait({ kind: 'unverified' });
  const built = baseOf(entry);
  if (built !== undefined && (base.kind === 'after' || base.commit !== built)) {
    return { kind: 'rebuild', reason: built === gate.bypasses.from ? 'target-moved' : 'ahead-changed' };
  }
  const isOnTarget = built === gate.tip;
  switch (phase.kind) {
    case 'queued':
      return base.kind === 'after'
        ? wait({ kind: 'merge-ahead', entry: base.entry })
        : { kind: 'merge', base: base.commit };
    case 'conflicted':
      return isOnTarget
        ? { kind: 'eject', ejection: { kind: 'conflict', base: phase.base, files: phase.files } }
        : wait({ kind: 'outcome-depends', phase });
    case 'contained':
      return isOnTarget ? { kind: 'already-landed' } : wait({ kind: 'outcome-depends', phase });
    case 'red': {
      if (!isOnTarget) return wait({ kind: 'outcome-depends', phase });
      const { verdict, run } = phase;
      const { failure } = verdict.kind === 'red' ? verdict : { failure: undefined };
      const reason = verdict.kind === 'red' ? verdict.reason : `canceled by ${verdict.by}`;
      return {
        kind: 'eject',
        ejection: { kind: 'failed', run, reason, ...(failure === undefined ? {} : { failure }) },
      };
    }
    case 'built':
      return onBuilt(settings, entry, phase, context);
    case 'testing':
      return onTesting(settings, entry, phase, context);
    case 'green': {
      const [head] = gate.entries;
      return head === undefined || head === entry ? { kind: 'begin-push' } : wait({ kind: 'order', head });
    }
    case 'pushing':
      return wait({ kind: 'push-answer' });
  }
}

function onBuilt(
  settings: GateSettings,
  { entry }: GateEntry,
  { faults, since }: Extract<EntryPhase, { kind: 'built' }>,
  { now }: GateContext,
): Step {
  const fault = faults.at(-1);
  if (fault === undefined) return { kind: 'start-run' };
  if (faults.length > settings.retries) {
    return { kind: 'pause', pause: { kind: 'ours', entry, run: fault.run, reason: fault.reason } };
  }
  const untilMs = since + faultRestMs(faults.length);
  return now.wallMs < untilMs ? wait({ kind: 'retry', fault, untilMs }) : { kind: 'start-run' };
}

/** A run that nobody takes is our fault, not the change's: it hangs the gate, and ejects nobody. */
function onTesting(
  { hangLimitMs }: GateSettings,
  { entry }: GateEntry,
  { run, since }: Extract<EntryPhase, { kind: 'testing' }>,
  { now, runStatus }: GateContext,
): Step {
  const status = runStatus(run);
  const untilMs = since + hangLimitMs;
  if (now.wallMs >= untilMs) {
    if (status === 'running') return { kind: 'give-up', run, limitMs: hangLimitMs };
    if (status === 'waiting') {
      const reason = `no agent takes what is left of it, for longer than the gate's limit (\`gantry why ${run}\`)`;
      return { kind: 'pause', pause: { kind: 'ours', entry, run, reason } };
    }
  }
  return {
    kind: 'follow-run',
    untilMs,
    wait: { kind: 'tested', run, status: status === 'waiting' ? 'waiting' : 'running' },
  };
}
