/**
 * Agents that speak to the coordinator as agents do, by the agent's own session, and do nothing for a stage: they report it
 * started and succeeded as soon as it is assigned, and the log of its silent step stored. A process of its own (`scheduling.ts` forks it), so that its CPU time is
 * known apart. It holds nothing on disk: what an agent pays for that is no part of scheduling.
 */
import { createHash, randomBytes } from 'node:crypto';
import { allLabels } from '../../agent/host/labels.js';
import { createSession } from '../../agent/session/create-session.js';
import type { CoordinatorAddress } from '../../agent/session/grpc-calls.js';
import type { Identity } from '../../agent/session/identity.js';
import type { Session, SessionHandlers } from '../../agent/session/session.js';
import { createLog, type Logger } from '../../shared/log.js';
import type { Assignment, HeldAttempt } from '../../shared/model/agent.js';
import type { Report } from '../../shared/model/event.js';
import {
  attemptKey,
  base32Of,
  parseAgentId,
  parseInstanceId,
  parseSha256,
  type AttemptRef,
} from '../../shared/model/ids.js';
import { createNkey } from '../../shared/nats/nkey.js';
import { gantryVersion } from '../../shared/version.js';
import { channelOptions } from '../../shared/wire/grpc-contract.js';

export interface AgentsOrder {
  readonly address: string;
  /** PEM; absent: without TLS. */
  readonly ca?: string;
  readonly joinToken: string;
  readonly label: string;
  readonly agents: number;
  readonly slots: number;
}

export type AgentsNews =
  /** All are registered, linked, and have sent their first heartbeat. */
  | { readonly kind: 'ready' }
  /** So many attempts have ended and the coordinator has acknowledged it, since the beginning; and what was sent for it over NATS. */
  | {
      readonly kind: 'ended';
      readonly count: number;
      readonly heartbeats: number;
      readonly assignmentBytes: number;
    }
  | { readonly kind: 'trouble'; readonly message: string };

const sha256 = parseSha256(createHash('sha256').digest('hex'));
/** As an agent says of a step that wrote nothing. */
const logs = sha256 === undefined ? [] : [{ step: 1, bytes: 0, sha256 }];
/** What every attempt reports; the last once the one before it is acknowledged. */
const reports: readonly Report[] = [
  { kind: 'AttemptStarted', executor: 'host' },
  { kind: 'AttemptFinished', status: 'succeeded', logs },
  { kind: 'LogsArchived' },
];
const end = 2;

/** An attempt until all that it reports is acknowledged. */
interface Running {
  readonly ref: AttemptRef;
  readonly held: HeldAttempt;
  readonly at: number;
  /** Reports that the session has taken. */
  sent: number;
  acknowledged: number;
}

/** Where it stands with its next report, if there is one that may be sent. */
const nextOf = ({ sent, acknowledged }: Running): Report | undefined =>
  sent < end || acknowledged >= end ? reports[sent] : undefined;

class SimulatedAgent {
  readonly #running = new Map<string, Running>();
  readonly #session: Session;
  readonly #slots: number;
  readonly #stop = new AbortController();
  readonly linked: Promise<void>;
  #isPumping = false;
  ended = 0;
  assignmentBytes = 0;

  constructor(order: AgentsOrder, n: number, news: { onEnded(): void; onTrouble(message: string): void }) {
    this.#slots = order.slots;
    this.#session = createSession({
      coordinator: addressOf(order),
      joinToken: order.joinToken,
      identity: newIdentity(),
      name: `simulated-${n}`,
      labels: allLabels([order.label], ['executor=host']),
      slots: order.slots,
      version: gantryVersion(),
      log,
    });
    let onLinked = (): void => undefined;
    this.linked = new Promise((resolve) => (onLinked = resolve));
    const handlers: SessionHandlers = {
      assign: (assignment) => Promise.resolve(this.#assign(assignment)),
      end: ({ run, stage }) => news.onTrouble(`${run}/${stage} was ended`),
      drain: () => undefined,
      linkUp: () => {
        for (const running of this.#running.values()) running.sent = running.acknowledged;
        this.#wake();
        onLinked();
      },
      linkDown: () => undefined,
      reportsAcknowledged: (ref, n) => {
        const running = this.#running.get(attemptKey(ref));
        if (running === undefined || n <= running.acknowledged) return;
        const hadEnded = running.acknowledged >= end;
        running.acknowledged = n;
        if (n >= reports.length) this.#running.delete(attemptKey(ref));
        if (n < end || hadEnded) return;
        this.ended += 1;
        // As an agent does when it holds an attempt no more.
        this.#session.heartbeatNow();
        news.onEnded();
        this.#wake();
      },
      reportsWanted: (ref, n) => {
        const running = this.#running.get(attemptKey(ref));
        if (running === undefined) return;
        running.sent = n - 1;
        this.#wake();
      },
      overtaken: ({ run, stage }, reason) => news.onTrouble(`${run}/${stage} was overtaken: ${reason}`),
      logAcknowledged: () => undefined,
      heartbeat: () => ({
        slots: this.#slots,
        linked: this.#session.linked,
        away: false,
        load: 0,
        mirrors: [],
        held: this.#held(),
        version: gantryVersion(),
      }),
      held: () => this.#held(),
      refused: (reason) => news.onTrouble(reason),
    };
    this.started = this.#session.start(handlers, this.#stop.signal);
  }

  readonly started: Promise<void>;

  get heartbeats(): number {
    return this.#session.heartbeatNumber;
  }

  #held(): readonly HeldAttempt[] {
    return [...this.#running.values()].flatMap(({ held, acknowledged }) =>
      acknowledged < end ? [held] : [],
    );
  }

  #assign(assignment: Assignment): Awaited<ReturnType<SessionHandlers['assign']>> {
    const { run, stage, attempt, token, proof } = assignment;
    const ref: AttemptRef = { run, stage, attempt };
    const accepted = { kind: 'accepted', heartbeat: this.#session.heartbeatNumber } as const;
    if (this.#running.has(attemptKey(ref))) return accepted;
    // The slot of one whose end is reported is free, as the coordinator may know before this agent does.
    const busy = [...this.#running.values()].filter(({ sent }) => sent < end).length;
    if (busy >= this.#slots) return { kind: 'refused', reason: 'no free slot' };
    this.assignmentBytes ||= JSON.stringify(assignment).length;
    const held = { ...ref, token, ...(proof === undefined ? {} : { proof }) };
    this.#running.set(attemptKey(ref), { ref, held, at: Date.now(), sent: 0, acknowledged: 0 });
    this.#wake();
    return accepted;
  }

  #wake(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    // Rejects only when the agents stop.
    this.#pump()
      .catch(() => undefined)
      .finally(() => (this.#isPumping = false));
  }

  async #pump(): Promise<void> {
    // The answer to the assignment goes first.
    await Promise.resolve();
    for (;;) {
      const running = [...this.#running.values()].find((one) => nextOf(one) !== undefined);
      const report = running === undefined ? undefined : nextOf(running);
      if (running === undefined || report === undefined) return;
      const { ref, held, at, sent } = running;
      if (this.#session.report({ ref, token: held.token, n: sent + 1, at, report })) running.sent += 1;
      else await this.#session.drained(this.#stop.signal);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#session.close();
  }
}

function addressOf({ address, ca }: AgentsOrder): CoordinatorAddress {
  return ca === undefined ? { address, insecure: true } : { address, ca: Buffer.from(ca), insecure: false };
}

function newIdentity(): Identity {
  const agent = parseAgentId(base32Of(randomBytes(10)));
  const instance = parseInstanceId(base32Of(randomBytes(10)));
  if (agent === undefined || instance === undefined) throw new Error('base32Of made no identifier');
  return { agent, instance, key: randomBytes(32).toString('base64url'), natsUser: createNkey('user') };
}

const tell = (news: AgentsNews): void => void process.send?.(news);

async function run(order: AgentsOrder): Promise<void> {
  // As many connections as agents on machines of their own would have; one process would share one.
  Object.assign(channelOptions, { 'grpc.use_local_subchannel_pool': 1 });
  let isTold = true;
  const agents = Array.from(
    { length: order.agents },
    (_, n) =>
      new SimulatedAgent(order, n + 1, {
        onEnded: () => (isTold = false),
        onTrouble: (message) => tell({ kind: 'trouble', message }),
      }),
  );
  const sum = (of: (agent: SimulatedAgent) => number): number =>
    agents.reduce((total, agent) => total + of(agent), 0);
  const telling = setInterval(() => {
    if (isTold) return;
    isTold = true;
    tell({
      kind: 'ended',
      count: sum(({ ended }) => ended),
      heartbeats: sum(({ heartbeats }) => heartbeats),
      assignmentBytes: Math.max(...agents.map(({ assignmentBytes }) => assignmentBytes)),
    });
  }, 20);
  const gone = new Promise((resolve) => process.once('disconnect', resolve));
  await Promise.all(agents.flatMap(({ started, linked }) => [started, linked]));
  tell({ kind: 'ready' });
  await gone;
  clearInterval(telling);
  await Promise.all(agents.map((agent) => agent.close()));
}

const log: Logger = createLog({ name: 'simulated', level: 'warn', pretty: false });

process.once('message', (order: AgentsOrder) => {
  run(order).catch((error: unknown) => {
    tell({ kind: 'trouble', message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
    process.disconnect();
  });
});
