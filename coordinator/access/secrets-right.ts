import type { ProjectId } from '../../shared/model/ids.js';
import type { Trust } from '../../shared/model/pipeline.js';
import { includes } from './rights.js';
import type { UserCaller } from './caller.js';

/**
 * Whether a run's stages get the secrets that they name: `RunFacts.maySeeSecrets`. Derived at every submit and again at
 * every retry, for whoever asks; never taken from a request. See `mayRetrySeeSecrets` too.
 *
 *   branch         yes: what it does was read by whoever let it onto the branch
 *   submit         by the right of the user who submits: an admin, or one who may use secrets; and the token they use
 *                  must be allowed to write, and reach the project
 *   change, fork   no
 *
 * `by`: undefined for what no person asked for (a push).
 */
export function maySeeSecrets(
  facts: { readonly trust: Trust; readonly project: ProjectId },
  by: Pick<UserCaller, 'role' | 'right' | 'reach' | 'maySeeSecrets'> | undefined,
): boolean {
  switch (facts.trust) {
    case 'branch':
      return true;
    case 'submit':
      if (by === undefined || !includes(by.right, 'write') || !by.reach.has(facts.project)) return false;
      return by.role === 'admin' || by.maySeeSecrets;
    case 'change':
    case 'fork':
      return false;
  }
}

/**
 * Whether a retry does. Who retries gives secrets only to what had them: an admin who looks into the failed run of a tree that
 * somebody else sent has not read what it does with them. `isOpened`: they say that they have (`--with-secrets`).
 */
export const mayRetrySeeSecrets = (retried: {
  readonly had: boolean;
  readonly isOpened: boolean;
  /** `maySeeSecrets` of whoever retries. */
  readonly may: boolean;
}): boolean => retried.may && (retried.had || retried.isOpened);
