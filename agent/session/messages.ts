/** What the coordinator sends over NATS, checked once at the edge: it may be of another version. */
import { z } from 'zod';

import type { Assignment } from '../../shared/model/agent.js';
import {
  parseCommitId,
  parseProjectId,
  parseRunId,
  parseSha256,
  parseToken,
  type AttemptRef,
  type CommitId,
  type ProjectId,
  type RunId,
  type Sha256,
  type Token,
} from '../../shared/model/ids.js';

const branded = <T>(what: string, parse: (text: string) => T | undefined): z.ZodType<T> =>
  z.custom<T>((value) => typeof value === 'string' && parse(value) !== undefined, {
    error: `expected ${what}`,
  });

const runId = branded<RunId>('a run id', parseRunId);
const commitId = branded<CommitId>('a commit id', parseCommitId);
const sha256 = branded<Sha256>('a SHA-256', parseSha256);
const token = z.custom<Token>((value) => typeof value === 'number' && parseToken(value) !== undefined, {
  error: 'expected a token',
});
const number = z.int().min(1);
const texts = z.record(z.string(), z.string());
const ref = { run: runId, stage: number, attempt: number };

const secrets = z.array(z.object({ variable: z.string(), secret: z.string() })).exactOptional();

/*
 * Of what is to be done nothing may be left out: a newer coordinator's key that this agent does not know is an error. What is
 * only told (facts) may be more than this agent knows.
 */
const build = z.strictObject({
  context: z.string().exactOptional(),
  file: z.string(),
  target: z.string().exactOptional(),
  args: texts,
  tags: z.array(z.string()),
  push: z.boolean(),
});
const step = z.strictObject({
  number,
  name: z.string(),
  run: z.string(),
  build: build.exactOptional(),
  env: texts,
  timeoutMs: z.number().positive().exactOptional(),
  workdir: z.string().exactOptional(),
  secrets,
  skipped: z.literal(true).exactOptional(),
});
const service = z.strictObject({
  name: z.string(),
  image: z.string(),
  env: texts,
  ready: z.string().exactOptional(),
  command: z.array(z.string()).exactOptional(),
});
const artifact = z.strictObject({
  number,
  name: z.string(),
  paths: z.array(z.string()),
  when: z.enum(['success', 'failure', 'always']),
  optional: z.boolean(),
});
const plan = z.strictObject({
  number,
  name: z.string(),
  cell: texts,
  needs: z.array(number),
  image: z.string().exactOptional(),
  user: z.string().exactOptional(),
  labels: z.array(z.string()),
  env: texts,
  services: z.array(service),
  timeoutMs: z.number().positive(),
  allowFailure: z.boolean(),
  maxAttempts: number,
  steps: z.array(step),
  artifacts: z.array(artifact),
  secrets,
  environment: z.string().exactOptional(),
});
const facts = z.object({
  event: z.enum(['push', 'change', 'gate', 'tag', 'schedule', 'manual', 'submit']),
  trust: z.enum(['branch', 'submit', 'change', 'fork']),
  project: branded<ProjectId>('a project id', parseProjectId),
  projectName: z.string(),
  branch: z.string().exactOptional(),
  target: z.string().exactOptional(),
  tag: z.string().exactOptional(),
  commit: commitId,
  before: commitId.exactOptional(),
  baseCommit: commitId.exactOptional(),
  title: z.string(),
  author: z.string().exactOptional(),
  message: z.string().exactOptional(),
  by: z.string(),
  maySeeSecrets: z.boolean().exactOptional(),
  inputs: texts,
});
const source = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('git'), url: z.string(), commit: commitId, ref: z.string().exactOptional() }),
  z.object({
    kind: z.literal('bundle'),
    digest: sha256,
    bytes: z.int().min(0),
    commit: commitId,
    shallow: z.array(commitId),
  }),
]);

const assignmentSchema: z.ZodType<Assignment> = z.object({
  ...ref,
  token,
  proof: z.string().max(100).exactOptional(),
  stageCount: number,
  plan,
  facts,
  source,
  needs: z.array(
    z.object({
      stage: number,
      attempt: number,
      title: z.string(),
      manifest: z.object({ sha256, bytes: z.int().min(0) }),
    }),
  ),
  images: texts,
});

export interface EndRequest {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly why: 'canceled' | 'overtaken';
  readonly by: string;
}
const endSchema: z.ZodType<EndRequest> = z.object({
  ref: z.object(ref),
  token,
  why: z.enum(['canceled', 'overtaken']),
  by: z.string(),
});
const drainSchema = z.object({ draining: z.boolean() });

/** A message that is not what this agent understands: names the field. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
}

export const parseAssignment = (text: string): Assignment => parse('assignment', assignmentSchema, text);
export const parseEnd = (text: string): EndRequest => parse('cancel', endSchema, text);
export const parseDrain = (text: string): { readonly draining: boolean } => parse('drain', drainSchema, text);

function parse<T>(what: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new MessageError(`${what}: it is no JSON`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MessageError(
    `${what}: ${issue === undefined ? 'malformed' : `${issue.path.join('.')}: ${issue.message}`}`,
    { cause: result.error },
  );
}
