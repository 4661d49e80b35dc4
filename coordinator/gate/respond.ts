/** Short ways to end a command. */
import type { GateEvent } from '../../shared/model/gate.js';
import type { GateAnswer, GateContext, GateHandled } from './command.js';
import type { GatePresence } from './presence.js';
import type { Gates } from './state.js';

export interface World {
  readonly gates: Gates;
  readonly presence: GatePresence;
  readonly context: GateContext;
}

export const answer = (given: GateAnswer): GateHandled => ({ events: [], answer: given });
export const done: GateHandled = answer({ kind: 'done' });
export const refuse = (message: string): GateHandled => answer({ kind: 'refused', message });
export const accept = (events: readonly GateEvent[], given: GateAnswer = { kind: 'done' }): GateHandled => ({
  events,
  answer: given,
});
