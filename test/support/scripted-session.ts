/** A coordinator as an agent sees it, whose link the test breaks and whose acknowledgements it may hold back. */
import type { AssignAnswer, Assignment, PresignObject } from '../../shared/model/agent.js';
import type { Report } from '../../shared/model/event.js';
import { attemptKey, type AttemptRef, type Token } from '../../shared/model/ids.js';
import { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { abortError } from '../../shared/async/sleep.js';
import { deferred, type Deferred } from '../../shared/async/deferred.js';
import type { AttemptSecrets, Session, SessionHandlers, UploadGrant } from '../../agent/session/session.js';
import { eventually } from './eventually.js';
import type { Trace } from './scripted-executor.js';

/** What a coordinator would know, whatever happens to agents. */
export class ScriptedCoordinator {
  /** Accepted reports of each attempt, in order: number n is at n-1. */
  readonly reports = new Map<string, Report[]>();
  /** Bytes of each step's log as far as they are durable: `<attempt key>#<step>`. */
  readonly logs = new Map<string, Buffer[]>();
  readonly sessions: ScriptedSession[] = [];
  linked = true;
  /** What an attempt may know; a test that has several attempts gives all of them the same. */
  secrets: AttemptSecrets = { values: new Map() };
  /** While false, what comes is kept but not acknowledged. */
  acknowledging = true;

  constructor(
    readonly trace: Trace,
    /** Real storage, where a test has one. */
    readonly storage?: {
      presign(ref: AttemptRef, object: PresignObject): Promise<PresignedUrl>;
      upload(ref: AttemptRef, artifact: { readonly number: number; readonly bytes: number }): UploadGrant;
    },
  ) {}

  get session(): ScriptedSession {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error('no agent has a session');
    return session;
  }

  kinds(ref: AttemptRef): readonly string[] {
    return (this.reports.get(attemptKey(ref)) ?? []).map((report) => report.kind);
  }

  log(ref: AttemptRef, step: number): string {
    return Buffer.concat(this.logs.get(logKey(ref, step)) ?? []).toString('latin1');
  }

  /** The report of the attempt's end, once it is there. */
  end(ref: AttemptRef): Promise<Extract<Report, { kind: 'AttemptFinished' }>> {
    return eventually('the attempt ends', () => {
      const end = this.reports.get(attemptKey(ref))?.find((report) => report.kind === 'AttemptFinished');
      return end?.kind === 'AttemptFinished' ? end : undefined;
    });
  }

  breakLink(): void {
    this.linked = false;
    this.session.handlers?.linkDown();
  }

  restoreLink(): void {
    this.linked = true;
    this.session.restore();
  }

  /** Acknowledges what was held back. */
  acknowledgeAll(): void {
    this.acknowledging = true;
    for (const key of this.reports.keys()) this.session.acknowledgeReports(key);
    for (const key of this.logs.keys()) this.session.acknowledgeLog(key);
  }
}

const logKey = (ref: AttemptRef, step: number): string => `${attemptKey(ref)}#${step}`;

function refOfKey(key: string): AttemptRef {
  const [run, stage, attempt] = key.split('/');
  return { run: run as AttemptRef['run'], stage: Number(stage), attempt: Number(attempt) };
}

export class ScriptedSession implements Session {
  handlers: SessionHandlers | undefined;
  heartbeatNumber = 1;
  heartbeats = 0;
  readonly progressed: string[] = [];
  readonly presigned: PresignObject[] = [];
  #drained: Deferred<void> = deferred();
  #closed = false;

  constructor(readonly coordinator: ScriptedCoordinator) {
    coordinator.sessions.push(this);
  }

  get linked(): boolean {
    return this.coordinator.linked && !this.#closed;
  }

  async start(handlers: SessionHandlers): Promise<void> {
    await this.coordinator.trace.enter('session start');
    this.handlers = handlers;
    handlers.linkUp();
  }

  assign(assignment: Assignment): Promise<AssignAnswer> {
    if (this.handlers === undefined) throw new Error('the session has not begun');
    return this.handlers.assign(assignment);
  }

  report(what: Parameters<Session['report']>[0]): boolean {
    if (!this.linked) return false;
    const key = attemptKey(what.ref);
    const known = this.coordinator.reports.get(key) ?? [];
    this.coordinator.reports.set(key, known);
    if (what.n > known.length + 1) {
      queueMicrotask(() => this.handlers?.reportsWanted(what.ref, known.length + 1));
      return true;
    }
    if (what.n === known.length + 1) {
      known.push(what.report);
      this.coordinator.trace.calls.push(`report ${what.report.kind}`);
    }
    if (this.coordinator.acknowledging) queueMicrotask(() => this.acknowledgeReports(key));
    return true;
  }

  log(what: Parameters<Session['log']>[0]): boolean {
    if (!this.linked) return false;
    const key = logKey(what.ref, what.step);
    const chunks = this.coordinator.logs.get(key) ?? [];
    this.coordinator.logs.set(key, chunks);
    const have = chunks.reduce((sum, { length }) => sum + length, 0);
    if (what.offset > have) throw new Error(`a gap in the log: ${what.offset} after ${have}`);
    const fresh = what.bytes.subarray(have - what.offset);
    if (fresh.length > 0) chunks.push(Buffer.from(fresh));
    if (this.coordinator.acknowledging) queueMicrotask(() => this.acknowledgeLog(key));
    return true;
  }

  acknowledgeReports(key: string): void {
    if (!this.linked) return;
    this.handlers?.reportsAcknowledged(refOfKey(key), this.coordinator.reports.get(key)?.length ?? 0);
  }

  acknowledgeLog(key: string): void {
    if (!this.linked) return;
    const [attempt = '', step] = key.split('#');
    const have = (this.coordinator.logs.get(key) ?? []).reduce((sum, { length }) => sum + length, 0);
    this.handlers?.logAcknowledged(refOfKey(attempt), Number(step), have);
  }

  restore(): void {
    this.handlers?.linkUp();
    this.#drained.resolve();
    this.#drained = deferred();
  }

  progress(what: Parameters<Session['progress']>[0]): void {
    this.progressed.push(what.activity);
  }

  drained(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(abortError(signal)), { once: true });
      void this.#drained.promise.then(resolve);
    });
  }

  async presign(
    ref: AttemptRef,
    _token: Token,
    object: PresignObject,
    signal: AbortSignal,
  ): Promise<PresignedUrl> {
    this.presigned.push(object);
    await this.coordinator.trace.enter(`presign ${object.kind}`);
    signal.throwIfAborted();
    return (
      (await this.coordinator.storage?.presign(ref, object)) ??
      new PresignedUrl(`http://storage.test/${object.kind}`)
    );
  }

  async secrets(_ref: AttemptRef, _token: Token, signal: AbortSignal): Promise<AttemptSecrets> {
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(abortError(signal)), { once: true });
    });
    aborted.catch(() => undefined); // when it comes later
    await Promise.race([this.coordinator.trace.enter('secrets'), aborted]);
    while (!this.linked) await this.drained(signal);
    signal.throwIfAborted();
    return this.coordinator.secrets;
  }

  upload(ref: AttemptRef, _token: Token, artifact: { number: number; bytes: number }): UploadGrant {
    const grant = this.coordinator.storage?.upload(ref, artifact);
    if (grant === undefined) throw new Error('there is no storage in this test');
    return grant;
  }

  heartbeatNow(): void {
    this.heartbeats += 1;
  }

  /** The process is gone: nothing comes from it and nothing gets to it any more. */
  kill(): void {
    this.#closed = true;
    this.handlers = undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.coordinator.trace.enter('session close');
  }
}
