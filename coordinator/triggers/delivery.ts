/** What a webhook tells: JSON that a git server's hook sends. */
import { z } from 'zod';
import { isRefName } from '../../shared/git/refs.js';
import { parseCommitId } from '../../shared/model/ids.js';
import type { RefMove } from '../../shared/model/project.js';

export interface Delivery {
  readonly moves: readonly RefMove[];
  readonly pusher?: string;
}

/** git's way to say that there is no commit. */
const nothing = /^(?:0{40}|0{64})?$/;

const commit = z
  .string()
  .refine(
    (text) => nothing.test(text) || parseCommitId(text) !== undefined,
    'expected a commit id, or zeros',
  );

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const hasControls = (text: string): boolean => /[\u0000-\u001f\u007f]/.test(text);

const deliverySchema = z.strictObject({
  moves: z
    .array(
      z.strictObject({
        ref: z
          .string()
          .refine((ref) => ref.startsWith('refs/') && isRefName(ref), 'expected a full ref name'),
        old: commit,
        new: commit,
      }),
    )
    .min(1)
    .max(1_000),
  pusher: z
    .string()
    .max(200)
    .refine((text) => !hasControls(text), 'expected a name without control characters')
    .optional(),
});

/** Or a sentence that says what is wrong with it. */
export function parseDelivery(body: string): Delivery | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return 'the body is no JSON';
  }
  const parsed = deliverySchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') ?? '';
    return `${where === '' ? 'the body' : where}: ${issue?.message ?? 'wrong'}`;
  }
  const { moves, pusher } = parsed.data;
  return {
    moves: moves.map(({ ref, old, new: now }) => {
      const before = parseCommitId(nothing.test(old) ? '' : old);
      const after = parseCommitId(nothing.test(now) ? '' : now);
      return {
        ref,
        ...(before === undefined ? {} : { old: before }),
        ...(after === undefined ? {} : { new: after }),
      };
    }),
    ...(pusher === undefined || pusher === '' ? {} : { pusher }),
  };
}
