/**
 * The agent link: one stream per agent. Log chunks go to LOGS and step events to the leader; the agent is told only
 * of what is durable. Whatever breaks, the stream ends, and the agent sends what was not acknowledged on the next one.
 */
import { status, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  attemptKey,
  parseAgentId,
  parseInstanceId,
  type AgentId,
  type AttemptRef,
  type InstanceId,
} from '../../shared/model/ids.js';
import type { AgentMessage, AgentMessage__Output } from '../../shared/wire/gen/gantry/v1/AgentMessage.js';
import type { CoordinatorMessage } from '../../shared/wire/gen/gantry/v1/CoordinatorMessage.js';
import type { Hello__Output } from '../../shared/wire/gen/gantry/v1/Hello.js';
import type { LogChunk__Output } from '../../shared/wire/gen/gantry/v1/LogChunk.js';
import type { Progress__Output } from '../../shared/wire/gen/gantry/v1/Progress.js';
import type { Report__Output } from '../../shared/wire/gen/gantry/v1/Report.js';
import { reportFromWire, type SentReport } from '../../shared/wire/report.js';
import { attemptRefFromWire, attemptRefToWire, tokenFromWire } from '../../shared/wire/refs.js';
import { WireError, parsed } from '../../shared/wire/wire-error.js';
import { forMany } from '../../shared/async/for-many.js';
import { Recent } from '../../shared/async/recent.js';
import { sleep } from '../../shared/async/sleep.js';
import { LogRefused } from '../logs/live-log.js';
import { ApiError } from './api-error.js';
import type { AgentCaller } from './auth.js';
import { guard, type Guarded } from './grpc-door.js';
import { callSignal, failureOf } from './grpc-status.js';
import { checkLease } from './leases.js';
import type { Services } from './services.js';

type LinkCall = ServerDuplexStream<AgentMessage__Output, CoordinatorMessage>;

/** Messages taken from one agent and not yet durable: above it the stream is paused, and HTTP/2 holds the agent back. */
const maxInFlight = 128;
const resumeBelow = 64;
const maxChunkBytes = 64 * 1024;
/** A chunk may be taken from an attempt that was overtaken so recently; its result is fenced by its token anyway. */
const checkHoldsMs = 1_000;

export const grpcLink = (services: Services, links: Links): Guarded<'AgentLink'> =>
  guard(services, 'AgentLink', {
    Open: (call, { agent }) => {
      const link = new Link(services, call, links);
      links.add(link);
      void link.run(agent).finally(() => links.delete(link));
    },
  });

/** All open links, so that a stopping coordinator can end them: agents go elsewhere at once. */
export class Links {
  readonly #links = new Set<Link>();
  add(link: Link): void {
    this.#links.add(link);
  }
  delete(link: Link): void {
    this.#links.delete(link);
  }
  /**
   * The newest registration owns the agent's id: streams of older processes end, so that these ask again, are refused
   * and stop. Their reports carry no instance, so a stream that stayed open would go on counting.
   */
  endOlder(newest: Link): void {
    for (const link of this.#links) {
      const { owner } = link;
      if (owner === undefined || owner.agent !== newest.owner?.agent) continue;
      if (owner.instance === newest.owner.instance) continue;
      link.end({ code: status.FAILED_PRECONDITION, details: 'another process is this agent now' });
    }
  }
  endAll(): void {
    for (const link of this.#links) link.end({ code: status.UNAVAILABLE, details: 'this coordinator stops' });
  }
}

class Link {
  /** Known once it was let in. */
  owner: { readonly agent: AgentId; readonly instance: InstanceId } | undefined;
  readonly #services: Services;
  readonly #call: LinkCall;
  readonly #links: Links;
  readonly #signal: AbortSignal;
  readonly #ended = new AbortController();
  /** Leases that were checked just now: a burst of chunks is not checked one by one. */
  readonly #checked = new Recent<string, { readonly held: Promise<unknown>; readonly untilMs: number }>(256);
  /** Acknowledgements of one step's chunks are given in order, so each waits for the one before it. */
  readonly #chains = new Map<string, Promise<void>>();
  /** Reports that have become durable in the turn that just ended, by attempt: its last one says it of all. */
  readonly #durable = new Map<string, { readonly ref: AttemptRef; readonly n: number }>();
  #inFlight = 0;

  constructor(services: Services, call: LinkCall, links: Links) {
    this.#services = services;
    this.#call = call;
    this.#links = links;
    this.#signal = forMany(AbortSignal.any([callSignal(call), this.#ended.signal]));
    // Without a listener a broken stream would end the process.
    call.on('error', () => this.#ended.abort());
  }

  async run(caller: AgentCaller): Promise<void> {
    const { coordinator, log } = this.#services;
    let agent: AgentId | undefined;
    let instance;
    try {
      const hello = await this.#hello();
      agent = caller.agent;
      instance = parsed('hello.instance', 'an instance id', parseInstanceId, hello.instance);
      if (parsed('hello.agent', 'an agent id', parseAgentId, hello.agent) !== agent) {
        throw new ApiError('forbidden', 'hello names another agent than the key does');
      }
      const answer = await coordinator.perform({ kind: 'LinkChanged', agent, instance, up: true });
      if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
      this.owner = { agent, instance };
      this.#links.endOlder(this);
      this.#call.write({ welcome: { coordinator: this.#services.settings.advertise } });
      await this.#take(agent);
      this.#call.end();
    } catch (error) {
      if (!this.#signal.aborted) this.end(failureOf(error, log));
    } finally {
      this.#ended.abort();
      if (agent !== undefined && instance !== undefined) {
        // Nobody waits for it: a coordinator that does not lead any more has nothing to note down.
        coordinator.perform({ kind: 'LinkChanged', agent, instance, up: false }).catch(() => undefined);
      }
    }
  }

  end(failure: { readonly code: status; readonly details: string }): void {
    this.#ended.abort();
    this.#call.emit('error', failure);
  }

  async #hello(): Promise<Hello__Output> {
    const first = await new Promise<AgentMessage__Output | undefined>((resolve) => {
      this.#call.once('data', (message: AgentMessage__Output) => {
        this.#call.pause();
        resolve(message);
      });
      this.#call.once('end', () => resolve(undefined));
      this.#signal.addEventListener('abort', () => resolve(undefined), { once: true });
      this.#call.resume();
    });
    if (first?.message !== 'hello' || first.hello == null) {
      throw new WireError('message', 'hello as the first message', first?.message);
    }
    return first.hello;
  }

  /** Takes messages until the agent ends the stream or something breaks. */
  #take(agent: AgentId): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void =>
        reject(error instanceof Error ? error : new Error(String(error)));
      this.#call.on('data', (message: AgentMessage__Output) => {
        this.#inFlight += 1;
        if (this.#inFlight >= maxInFlight) this.#call.pause();
        this.#one(agent, message).then(() => {
          this.#inFlight -= 1;
          if (this.#inFlight < resumeBelow && this.#call.isPaused()) this.#call.resume();
        }, fail);
      });
      this.#call.once('end', resolve);
      this.#signal.addEventListener('abort', () => resolve(), { once: true });
      this.#call.resume();
    });
  }

  /** Async, so that what a hostile agent sends rejects here and does not throw into the stream's listener. */
  async #one(agent: AgentId, message: AgentMessage__Output): Promise<void> {
    switch (message.message) {
      case 'report':
        return this.#report(agent, message.report ?? {});
      case 'log':
        return this.#log(agent, message.log ?? {});
      case 'progress':
        return this.#progress(agent, message.progress ?? {});
      case 'hello':
      default:
        throw new WireError(
          'message',
          'report, log or progress',
          message.message satisfies AgentMessage['message'],
        );
    }
  }

  async #report(agent: AgentId, message: Report__Output): Promise<void> {
    const sent = this.#readable(message);
    if (sent === undefined) return;
    const answer = await this.#services.coordinator.perform({
      kind: 'Report',
      agent,
      ref: sent.ref,
      token: sent.token,
      n: sent.n,
      at: Date.now() - sent.ageMs,
      report: sent.report,
    });
    const ref = attemptRefToWire(sent.ref);
    switch (answer.kind) {
      case 'reported':
        this.#acknowledge(sent.ref, answer.n);
        return;
      case 'report-wanted':
        this.#write({ report: { ref, wanted: answer.n } });
        return;
      case 'overtaken':
        this.#write({ report: { ref, overtaken: answer.reason } });
        return;
      case 'refused':
      case 'not-found':
        throw new ApiError('refused', answer.message);
      case 'done':
      case 'accepted':
      case 'moved':
      case 'gate':
      case 'delivery':
        throw new Error(`a report was answered ${answer.kind}`);
    }
  }

  /** A turn's answers come one after the other; what follows them is one message for each attempt. */
  #acknowledge(ref: AttemptRef, n: number): void {
    if (this.#durable.size === 0) {
      queueMicrotask(() => {
        for (const one of this.#durable.values()) {
          this.#write({ report: { ref: attemptRefToWire(one.ref), acknowledged: one.n } });
        }
        this.#durable.clear();
      });
    }
    this.#durable.set(attemptKey(ref), { ref, n });
  }

  /**
   * A report that nobody can read would come again on every new link and hold up all that stands behind it: its
   * attempt is given up (and runs again), not the agent.
   */
  #readable(message: Report__Output): SentReport | undefined {
    try {
      return reportFromWire(message);
    } catch (error) {
      if (!(error instanceof WireError) || message.ref === undefined) throw error;
      this.#services.log.error({ err: error, ref: message.ref }, 'a report cannot be read');
      this.#write({ report: { ref: message.ref, overtaken: `report ${message.n ?? 0}: ${error.message}` } });
      return undefined;
    }
  }

  async #log(agent: AgentId, message: LogChunk__Output): Promise<void> {
    const ref = attemptRefFromWire(message.ref);
    const bytes = message.bytes ?? Buffer.alloc(0);
    if (bytes.length > maxChunkBytes) throw new WireError('log.bytes', 'at most 64 KiB', bytes.length);
    const step = message.step ?? 0;
    const offset = message.offset ?? 0;
    const isHeld = await this.#holds(agent, ref, message.token);
    if (!isHeld) return;
    const stored = this.#store({ ...ref, step, offset, bytes, at: Date.now() - (message.ageMs ?? 0) });
    const chain = `${attemptKey(ref)}/${step}`;
    // `all` also hears of the later one's failure: one that nobody hears of would end the process.
    const acknowledged = Promise.all([this.#chains.get(chain), stored]).then(() =>
      this.#write({ log: { ref: attemptRefToWire(ref), step, offset: offset + bytes.length } }),
    );
    this.#chains.set(chain, acknowledged);
    await acknowledged;
    if (this.#chains.get(chain) === acknowledged) this.#chains.delete(chain);
  }

  /** A full store is not the agent's fault: the chunk waits here, the stream is held back, and `why` says so. */
  async #store(chunk: Parameters<Services['liveLog']['append']>[0]): Promise<void> {
    for (;;) {
      try {
        await this.#services.liveLog.append(chunk);
        return;
      } catch (error) {
        if (!(error instanceof LogRefused)) throw error;
        this.#services.log.warn({ err: error, run: chunk.run, stage: chunk.stage }, 'LOGS took no chunk');
        await sleep(1_000, this.#signal);
      }
    }
  }

  /** An attempt that the agent does not hold: it is told to stop, and its logs are dropped. */
  async #holds(agent: AgentId, ref: AttemptRef, token: number | undefined): Promise<boolean> {
    const key = `${attemptKey(ref)}#${token ?? 0}`;
    let check = this.#checked.get(key);
    if (check === undefined || performance.now() > check.untilMs) {
      const held = checkLease(this.#services, agent, ref, tokenFromWire(token));
      check = { held, untilMs: performance.now() + checkHoldsMs };
      this.#checked.set(key, check);
    }
    try {
      await check.held;
      return true;
    } catch (error) {
      if (!(error instanceof ApiError) || error.kind !== 'forbidden') throw error;
      this.#write({ report: { ref: attemptRefToWire(ref), overtaken: error.message } });
      return false;
    }
  }

  async #progress(agent: AgentId, message: Progress__Output): Promise<void> {
    const ref = attemptRefFromWire(message.ref);
    if (!(await this.#holds(agent, ref, message.token))) return;
    this.#services.progress.put({
      ref,
      activity: (message.activity ?? '').slice(0, 200),
      at: Date.now(),
      ...(message.fraction === undefined ? {} : { fraction: message.fraction }),
    });
  }

  #write(message: CoordinatorMessage): void {
    // Acknowledgements are small and bounded by what is in flight: no need to wait for `drain`.
    if (!this.#signal.aborted) this.#call.write(message);
  }
}
