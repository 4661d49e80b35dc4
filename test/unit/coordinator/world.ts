/** The coordinator's loop and read side on a journal in memory: real classes, fakes at the ports. */
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { deferred } from '../../../shared/async/deferred.js';
import { InTurn } from '../../../shared/async/in-turn.js';
import { Recent } from '../../../shared/async/recent.js';
import { BlobError } from '../../../shared/blob/blob-error.js';
import type { BlobContent, BlobHead } from '../../../shared/blob/blob-store.js';
import type { LogChunk } from '../../../shared/model/agent.js';
import type { Entry, Report, StageOutline } from '../../../shared/model/event.js';
import {
  attemptKey,
  type AgentId,
  type AttemptRef,
  type RunId,
  type Sha256,
} from '../../../shared/model/ids.js';
import type { Plan } from '../../../shared/model/pipeline.js';
import { ProgressBoard } from '../../../coordinator/api/progress-board.js';
import type { Services } from '../../../coordinator/api/services.js';
import { StoredBundles } from '../../../coordinator/api/stored-bundles.js';
import { RecentPipelines } from '../../../coordinator/api/recent-pipelines.js';
import { isLeaseProof } from '../../../coordinator/access/tokens.js';
import { Coordinator } from '../../../coordinator/coordinator.js';
import { History } from '../../../coordinator/history/history.js';
import { RunEvents } from '../../../coordinator/history/run-events.js';
import type { FinishedRun, RunIndex } from '../../../coordinator/history/run-index.js';
import type { AppendResult, Journal } from '../../../coordinator/journal/journal.js';
import type { LiveLog, StoredChunk } from '../../../coordinator/logs/live-log.js';
import type { Answer, Effect } from '../../../coordinator/scheduler/command.js';
import { findAttempt } from '../../../coordinator/scheduler/state.js';
import { MemoryJournal, MemoryStore, type Fate } from '../../support/memory-journal.js';
import { agentId, instanceId, sha, submission } from '../scheduler/ids.js';

/** Appends wait while it is held, and each says when it is under way. */
export class HeldJournal implements Journal {
  readonly inner: MemoryJournal;
  appends: Entry[] = [];
  #gate = Promise.resolve();
  #open: () => void = () => undefined;

  constructor(store: MemoryStore, fate?: () => Fate) {
    this.inner = new MemoryJournal(store, fate);
  }
  get disconnected(): AbortSignal {
    return this.inner.disconnected;
  }
  hold(): void {
    this.#gate = new Promise((resolve) => (this.#open = resolve));
  }
  release(): void {
    this.#open();
  }
  replay(after: number, onEntry: (sequence: number, entry: Entry) => void): Promise<number> {
    return this.inner.replay(after, onEntry);
  }
  async append(entry: Entry, expectedLast: number): Promise<AppendResult> {
    this.appends.push(entry);
    await this.#gate;
    return this.inner.append(entry, expectedLast);
  }
}

export class FakeLiveLog implements LiveLog {
  readonly chunks = new Map<string, StoredChunk[]>();
  readonly purged: string[] = [];
  #more = deferred();

  put(ref: AttemptRef, step: number, offset: number, text: string): void {
    const key = attemptKey(ref);
    const chunks = this.chunks.get(key) ?? [];
    chunks.push({ step, offset, bytes: Buffer.from(text), at: 1 });
    this.chunks.set(key, chunks);
    this.#more.resolve();
    this.#more = deferred();
  }
  append(_chunk: LogChunk): Promise<void> {
    return Promise.reject(new Error('not used here'));
  }
  async *read(
    ref: AttemptRef,
    { follow, signal }: { readonly follow: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<StoredChunk> {
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (let next = 0; !signal.aborted;) {
      const more = this.#more.promise;
      const chunk = this.chunks.get(attemptKey(ref))?.[next];
      if (chunk !== undefined) {
        next += 1;
        yield chunk;
      } else if (follow) await Promise.race([more, aborted]);
      else return;
    }
  }
  purge(ref: AttemptRef): Promise<void> {
    this.purged.push(attemptKey(ref));
    this.chunks.delete(attemptKey(ref));
    return Promise.resolve();
  }
}

/** The part of a `BlobStore` that the read side uses. */
export class FakeBlobs {
  readonly objects = new Map<string, Buffer>();
  readonly endpoint = 'http://storage.test';
  readonly bucket = 'test';

  head(key: string): Promise<BlobHead | undefined> {
    const object = this.objects.get(key);
    return Promise.resolve(
      object === undefined ? undefined : { bytes: object.length, etag: 'e', modifiedAt: new Date(0) },
    );
  }
  get(key: string, options: { readonly range?: { readonly start: number } } = {}): Promise<BlobContent> {
    const object = this.objects.get(key);
    if (object === undefined) return Promise.reject(new BlobError({ kind: 'blob-not-found', key }));
    const bytes = object.subarray(options.range?.start ?? 0);
    return Promise.resolve({ bytes: bytes.length, etag: 'e', body: Readable.from([bytes]) });
  }
  async getBytes(key: string): Promise<Buffer> {
    return (await this.get(key)).body.read() as Buffer;
  }
  async put(key: string, body: Uint8Array | { readonly stream: Readable }): Promise<{ etag: string }> {
    const bytes =
      body instanceof Uint8Array
        ? Buffer.from(body)
        : Buffer.concat((await body.stream.toArray()) as Buffer[]);
    this.objects.set(key, bytes);
    return { etag: 'e' };
  }
}

export class FakeIndex implements RunIndex {
  readonly rows = new Map<RunId, FinishedRun>();
  put(run: FinishedRun): Promise<void> {
    this.rows.set(run.run, run);
    return Promise.resolve();
  }
  get(run: RunId): Promise<FinishedRun | undefined> {
    return Promise.resolve(this.rows.get(run));
  }
  find(prefix: string): Promise<readonly FinishedRun[]> {
    return Promise.resolve([...this.rows.values()].filter(({ run }) => run.startsWith(prefix)));
  }
  list({ limit, filter }: Parameters<RunIndex['list']>[0]): ReturnType<RunIndex['list']> {
    return Promise.resolve({ runs: [...this.rows.values()].filter(filter).slice(0, limit) });
  }
}

export class FakePlans {
  readonly plans = new Map<RunId, Plan>();
  put(plan: Plan): Promise<void> {
    this.plans.set(plan.run, plan);
    return Promise.resolve();
  }
  get(run: RunId): Promise<Plan | undefined> {
    return Promise.resolve(this.plans.get(run));
  }
  delete(run: RunId): Promise<void> {
    this.plans.delete(run);
    return Promise.resolve();
  }
  list(): Promise<readonly RunId[]> {
    return Promise.resolve([...this.plans.keys()]);
  }
}

/** Of services that these tests never come to. */
const unused = new Proxy(
  {},
  {
    get: () => {
      throw new Error('not used here');
    },
  },
) as never;

export class World {
  readonly store = new MemoryStore();
  fate: Fate = 'stored';
  readonly journal = new HeldJournal(this.store, () => this.fate);
  readonly clock = { wall: 1_700_000_000_000, mono: 1_000 };
  readonly events = new RunEvents();
  readonly liveLog = new FakeLiveLog();
  readonly blobs = new FakeBlobs();
  readonly index = new FakeIndex();
  readonly plans = new FakePlans();
  readonly effects: Effect[] = [];
  readonly entries: { readonly sequence: number; readonly entry: Entry }[] = [];
  /** What happened, in order, for tests of that. */
  readonly order: string[] = [];
  readonly coordinator: Coordinator;
  readonly services: Services;
  readonly log = pino({ level: 'silent' });
  running: Promise<void> | undefined;
  #beats = 0;

  constructor() {
    this.coordinator = new Coordinator({
      journal: this.journal,
      clock: { wallMs: () => this.clock.wall, monotonicMs: () => this.clock.mono },
      seed: '0'.repeat(32),
      perform: (effect) => {
        this.effects.push(effect);
        this.order.push(`effect ${effect.kind}`);
      },
      onEntry: (committed) => {
        this.entries.push(committed);
        this.order.push(`entry ${committed.entry.events.map((event) => event.kind).join('+')}`);
        this.events.take(committed.sequence, committed.entry);
      },
      isProven: (agent, { token, proof, ...ref }) =>
        isLeaseProof(this.services.tokenKey, { agent, ref, token }, proof),
      log: this.log,
    });
    this.services = {
      coordinator: this.coordinator,
      events: this.events,
      history: new History({ blobs: this.blobs as never, index: this.index, plans: this.plans }),
      plans: this.plans,
      blobs: this.blobs as never,
      bundles: new StoredBundles(this.blobs),
      pipelines: new RecentPipelines(),
      liveLog: this.liveLog,
      agentAccess: {
        grant: () => {
          throw new Error('not used here');
        },
      },
      progress: new ProgressBoard(),
      submits: new InTurn(),
      manifests: new Recent(16),
      tokenKey: Buffer.alloc(32, 1),
      directory: unused,
      audit: unused,
      vault: unused,
      repositories: unused,
      gates: unused,
      deploying: unused,
      poller: unused,
      feedback: unused,
      settings: {
        version: '1',
        advertise: 'here:1',
        publicUrl: 'http://here:2',
        prefix: 'gantry',
        heartbeatMs: 2_000,
        repoRoots: [],
      },
      log: this.log,
      readPipeline: () => Promise.reject(new Error('not used here')),
    };
  }

  async start(): Promise<this> {
    await this.coordinator.start();
    this.running = this.coordinator.run();
    this.running.catch(() => undefined);
    return this;
  }

  async stop(): Promise<void> {
    this.journal.release();
    this.coordinator.stop();
    await this.running?.catch(() => undefined);
  }

  submit(n: number, stages: readonly StageOutline[]): Promise<Answer> {
    return this.coordinator.perform(submission(n, stages));
  }

  /** An agent that offers every label of the tests and sends one heartbeat. */
  async join(n: number, { keyHash = sha(n) }: { readonly keyHash?: Sha256 } = {}): Promise<AgentId> {
    const agent = agentId(n);
    await this.coordinator.perform({
      kind: 'RegisterAgent',
      agent,
      instance: instanceId(n),
      name: `agent${n}`,
      labels: ['os=linux'],
      slots: 4,
      projects: [],
      trust: ['branch', 'submit'],
      keyHash,
      version: '1',
      joinedBy: 'a test',
    });
    await this.beat(n, []);
    return agent;
  }

  beat(
    n: number,
    held: readonly (AttemptRef & { readonly token: number; readonly proof?: string })[],
  ): Promise<Answer> {
    return this.coordinator.perform({
      kind: 'HeartbeatSeen',
      heartbeat: {
        agent: agentId(n),
        instance: instanceId(n),
        number: ++this.#beats,
        slots: 4,
        linked: true,
        away: false,
        load: 0,
        mirrors: [],
        held: held as never,
        version: '1',
      },
    });
  }

  /** The lease of an attempt, once there is one. */
  async lease(
    run: RunId,
    stage: number,
    attempt: number,
  ): Promise<{ agent: AgentId; token: number } | undefined> {
    return this.coordinator.read(({ state }) => {
      const found = findAttempt(state, { run, stage, attempt });
      return found === undefined ? undefined : { agent: found.agent, token: found.token };
    });
  }

  /** The next report of the attempt. */
  async report(ref: AttemptRef, report: Report): Promise<Answer> {
    const found = await this.coordinator.read(({ state }) => {
      const attempt = findAttempt(state, ref);
      if (attempt === undefined) throw new Error(`no attempt ${attemptKey(ref)}`);
      return { agent: attempt.agent, token: attempt.token, n: attempt.reports + 1 };
    });
    return this.coordinator.perform({ kind: 'Report', ref, ...found, at: this.clock.wall, report });
  }
}
