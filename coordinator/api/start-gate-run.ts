import type { RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';
import { digestOf, startRun } from './start-run.js';

/** A run of the gate. Its id is made for one candidate, so asking twice starts one. Rejects when it is to be tried again. */
export async function startGateRun(
  services: Services,
  plan: Plan,
  retryOf: RunId | undefined,
): Promise<'accepted' | { readonly kind: 'refused'; readonly message: string }> {
  const digest = digestOf({ gate: plan.facts.project, target: plan.facts.target, commit: plan.facts.commit });
  try {
    await startRun(services, { plan, digest, ...(retryOf === undefined ? {} : { retryOf }) });
    return 'accepted';
  } catch (error) {
    if (error instanceof ApiError && (error.kind === 'refused' || error.kind === 'invalid')) {
      return { kind: 'refused', message: error.message };
    }
    throw error;
  }
}
