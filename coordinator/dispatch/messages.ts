/** What agents send over NATS, checked: any of them may be of another version, or hostile. */
import { z } from 'zod';

import type { AssignAnswer, Heartbeat } from '../../shared/model/agent.js';
import {
  parseAgentId,
  parseInstanceId,
  parseRunId,
  parseToken,
  type AgentId,
  type InstanceId,
  type RunId,
  type Token,
} from '../../shared/model/ids.js';

const branded = <T>(parse: (text: string) => T | undefined): z.ZodType<T> =>
  z.custom<T>((value) => typeof value === 'string' && parse(value) !== undefined);
const count = z.int().min(0);

const heartbeatSchema = z.object({
  agent: branded<AgentId>(parseAgentId),
  instance: branded<InstanceId>(parseInstanceId),
  number: z.int().min(1),
  slots: count.max(10_000),
  linked: z.boolean(),
  refusing: z.string().max(1_000).exactOptional(),
  away: z.boolean(),
  load: z.number().min(0),
  mirrors: z.array(z.string().max(500)).max(50),
  held: z
    .array(
      z.object({
        run: branded<RunId>(parseRunId),
        stage: z.int().min(1),
        attempt: z.int().min(1),
        token: z.custom<Token>((value) => typeof value === 'number' && parseToken(value) !== undefined),
        proof: z.string().max(100).exactOptional(),
      }),
    )
    .max(10_000),
  version: z.string().max(100),
});

const answerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('accepted'), heartbeat: count }),
  z.object({ kind: z.literal('refused'), reason: z.string() }),
]);

/** Undefined when it is no heartbeat. */
export function parseHeartbeat(text: string): Heartbeat | undefined {
  return heartbeatSchema.safeParse(jsonOf(text)).data;
}

/** An answer that cannot be read counts as a refusal: the agent did not take the assignment as far as anyone knows. */
export function parseAssignAnswer(text: string): AssignAnswer {
  const answer = answerSchema.safeParse(jsonOf(text)).data;
  if (answer === undefined)
    return { kind: 'refused', reason: 'the agent gave an answer that this coordinator cannot read' };
  return answer.kind === 'accepted' ? answer : { kind: 'refused', reason: answer.reason.slice(0, 1_000) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no schema accepts undefined
  }
}
