import type { RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';
import { digestOf, startRun } from './start-run.js';

/**
 * A run that Gantry makes by itself: of the gate, of a rollback, of a verify. `content`: what its id stands for, so that asking
 * twice starts one. Rejects when it is to be tried again.
 */
export async function startOwnRun(
  services: Services,
  plan: Plan,
  content: unknown,
  retryOf?: RunId,
): Promise<'accepted' | { readonly kind: 'refused'; readonly message: string }> {
  try {
    await startRun(services, {
      plan,
      digest: digestOf(content),
      ...(retryOf === undefined ? {} : { retryOf }),
    });
    return 'accepted';
  } catch (error) {
    if (error instanceof ApiError && (error.kind === 'refused' || error.kind === 'invalid')) {
      return { kind: 'refused', message: error.message };
    }
    throw error;
  }
}
