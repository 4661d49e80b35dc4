/** Which of two commits is the newer one, as far as it was told: ancestry is computed outside and comes in as facts. */
import type { CommitOrder } from '../../shared/model/environment.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Environment } from './state.js';

export interface Pair {
  readonly one: CommitId;
  readonly other: CommitId;
}

export const orderKey = ({ one, other }: Pair): string => `${one} ${other}`;

const inverse = { newer: 'older', older: 'newer', diverged: 'diverged' } as const;

/** What `one` is to `other`; undefined: it is to be asked for. */
export function orderOf({ orders }: Environment, { one, other }: Pair): CommitOrder | 'same' | undefined {
  if (one === other) return 'same';
  // While git does not answer, everything that waits is compared with everything.
  if (orders.size === 0) return undefined;
  const known = orders.get(orderKey({ one, other }));
  if (known !== undefined) return known;
  const turned = orders.get(orderKey({ one: other, other: one }));
  return turned === undefined ? undefined : inverse[turned];
}

/** Two commits keep their order for ever, so forgetting one costs a question and no more. */
export function forgetOrders(environment: Environment): void {
  const { orders, there, rolledBack, open } = environment;
  const needed = new Set([there?.commit, rolledBack?.from, ...open.map(({ record }) => record.commit)]);
  for (const key of orders.keys()) {
    if (!key.split(' ').every((commit) => [...needed].some((other) => other === commit))) orders.delete(key);
  }
}
