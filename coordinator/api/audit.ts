/** Changes that are no event of their own, on record: who did what. */
import type { ProjectId } from '../../shared/model/ids.js';
import { NotLeading } from '../coordinator.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface Deed {
  readonly by: string;
  /** `user.add`, `token.revoke` … */
  readonly action: string;
  readonly subject: string;
  readonly project?: ProjectId;
  readonly detail?: string;
}

/**
 * The record first, then the change: what nobody can see in the audit did not happen. A change that then fails is on
 * record as `… .failed`; when the process dies in between, the record stands alone.
 */
export async function audited<T>(
  services: Pick<Services, 'coordinator' | 'log'>,
  deed: Deed,
  change: () => Promise<T>,
): Promise<T> {
  const { coordinator, log } = services;
  const answer = await coordinator.perform({ kind: 'Audit', ...deed });
  if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
  try {
    return await change();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const failed = {
      ...deed,
      kind: 'Audit',
      action: `${deed.action}.failed`,
      detail: why.slice(0, 300),
    } as const;
    await coordinator.perform(failed).catch((late: unknown) => {
      if (!(late instanceof NotLeading)) throw late;
      log.warn(
        { err: error, action: deed.action, subject: deed.subject },
        'failed, and is on record as done',
      );
    });
    throw error;
  }
}
