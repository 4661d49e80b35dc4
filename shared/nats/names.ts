/**
 * How everything in NATS is called: streams, buckets and subjects, for one prefix. Subjects are made of ids and numbers
 * only: a name that a person wrote may hold spaces (a publish would then time out without an error), dots and
 * wildcards (an id `*` would be every agent).
 */
import type { AgentId, AttemptRef, ProjectId, RunId } from '../model/ids.js';

export type AgentVerb = 'assign' | 'cancel' | 'drain';

export interface NatsNames {
  readonly prefix: string;
  readonly journalStream: string;
  readonly journalSubject: string;
  readonly logsStream: string;
  /** All subjects of the stream, for its configuration. */
  readonly logsSubjects: string;
  logsSubject(ref: AttemptRef): string;
  readonly runsStream: string;
  readonly runsSubjects: string;
  runsSubject(project: ProjectId, run: RunId): string;
  /** Object store of compiled plans. */
  readonly plansBucket: string;
  /** Key-value bucket of sealed secrets and credentials. */
  readonly secretsBucket: string;
  /** Key-value bucket of users and hashes of their tokens. */
  readonly accessBucket: string;
  agentSubject(agent: AgentId, verb: AgentVerb): string;
  readonly heartbeatSubjects: string;
  heartbeatSubject(agent: AgentId): string;
}

export const defaultPrefix = 'gantry';
const prefixPattern = /^[a-z0-9_-]{1,32}$/;

/**
 * With the default prefix streams are called `JOURNAL`, `LOGS`, `RUNS`; with another one, say `ci`, `ci_JOURNAL` and so
 * on, so that two installations may share an account. Throws when the prefix cannot be part of a subject.
 */
export function natsNames(prefix: string): NatsNames {
  if (!prefixPattern.test(prefix))
    throw new Error(`NATS prefix ${JSON.stringify(prefix)}: expected 1 to 32 of a-z, 0-9, - and _`);
  const stream = (name: string): string => (prefix === defaultPrefix ? name : `${prefix}_${name}`);
  return {
    prefix,
    journalStream: stream('JOURNAL'),
    journalSubject: `${prefix}.journal`,
    logsStream: stream('LOGS'),
    logsSubjects: `${prefix}.logs.>`,
    logsSubject: (ref) => `${prefix}.logs.${ref.run}.${ref.stage}.${ref.attempt}`,
    runsStream: stream('RUNS'),
    runsSubjects: `${prefix}.runs.>`,
    runsSubject: (project, run) => `${prefix}.runs.${project}.${run}`,
    plansBucket: `${prefix}-plans`,
    secretsBucket: `${prefix}-secrets`,
    accessBucket: `${prefix}-access`,
    agentSubject: (agent, verb) => `${prefix}.agent.${agent}.${verb}`,
    heartbeatSubjects: `${prefix}.heartbeat.*`,
    heartbeatSubject: (agent) => `${prefix}.heartbeat.${agent}`,
  };
}
