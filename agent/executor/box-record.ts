/** What the agent keeps of a box in the slot, out of the box's sight, to adopt it after a restart. */
import { z } from 'zod';

const schema = z.object({
  container: z.string(),
  inDirectory: z.string(),
  owner: z.object({ uid: z.number(), gid: z.number() }),
  shell: z.object({ name: z.enum(['bash', 'sh']), path: z.string() }),
});

export type BoxRecord = z.infer<typeof schema>;

/** undefined for anything that is not a whole record: the box was never fully opened. */
export function parseBoxRecord(text: string): BoxRecord | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    // Torn or missing; see above.
    return undefined;
  }
}
