/** What comes down the link, given to the agent. */
import type { Logger } from '../../shared/log.js';
import type { CoordinatorMessage__Output } from '../../shared/wire/gen/gantry/v1/CoordinatorMessage.js';
import { attemptRefFromWire, tokenFromWire } from '../../shared/wire/refs.js';
import { oneOf, WireError } from '../../shared/wire/wire-error.js';
import type { SessionHandlers } from './session.js';

/** What it does not understand is logged and passed over: a newer coordinator may say more. */
export function receive(message: CoordinatorMessage__Output, handlers: SessionHandlers, log: Logger): void {
  try {
    give(message, handlers);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    log.error({ err: error }, 'a message of the coordinator was not understood');
  }
}

function give(message: CoordinatorMessage__Output, handlers: SessionHandlers): void {
  switch (message.message) {
    case 'report': {
      const ref = attemptRefFromWire(message.report?.ref);
      const { acknowledged = 0, wanted = 0, overtaken = '' } = message.report ?? {};
      if (acknowledged > 0) handlers.reportsAcknowledged(ref, acknowledged);
      if (overtaken !== '') handlers.overtaken(ref, overtaken);
      else if (wanted > 0) handlers.reportsWanted(ref, wanted);
      return;
    }
    case 'log':
      handlers.logAcknowledged(
        attemptRefFromWire(message.log?.ref),
        message.log?.step ?? 0,
        message.log?.offset ?? 0,
      );
      return;
    case 'end': {
      const { end } = message;
      handlers.end(
        attemptRefFromWire(end?.ref),
        tokenFromWire(end?.token),
        oneOf('end.why', ['canceled', 'overtaken'], end?.why),
        end?.by ?? '',
      );
      return;
    }
    case 'welcome':
    case undefined:
      return;
  }
}
