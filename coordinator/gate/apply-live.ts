import type { GateEvent } from '../../shared/model/gate.js';
import { applyGate } from './apply.js';
import { doubt, presenceOf } from './presence.js';
import type { World } from './respond.js';
import { findGate } from './state.js';

/**
 * Applies what a leader has just decided. An event after which a push is not wanted any more (`isPushWanted`) casts doubt on
 * the target: a look from before it may be older than a push that was made since, so only one from now on tells its end.
 */
export function applyLive({ gates, presence, context }: World, event: GateEvent): void {
  applyGate(gates, event, context.now.wallMs);
  if (event.kind !== 'GateLeaving' && event.kind !== 'GatePaused') return;
  const gate = findGate(gates, event);
  if (gate?.entries.some(({ phase }) => phase.kind === 'pushing') === true) doubt(presenceOf(presence, gate));
}
