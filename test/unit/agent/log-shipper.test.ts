import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { setTimeout as pause } from 'node:timers/promises';
import { chunkBytes, LogShipper, windowBytes, type LogSink } from '../../../agent/logs/log-shipper.js';
import type { LogSource } from '../../../agent/logs/log-source.js';
import { sha256Of } from '../../support/agent-world.js';
import { eventually } from '../../support/eventually.js';

/** A spool in memory that grows when the test says so. */
class Spool implements LogSource {
  written = 0;
  constructor(readonly bytes: Buffer) {}
  available(): Promise<number> {
    return Promise.resolve(this.written);
  }
  read(offset: number, buffer: Uint8Array): Promise<number> {
    const piece = this.bytes.subarray(offset, Math.min(this.written, offset + buffer.length));
    buffer.set(piece);
    return Promise.resolve(piece.length);
  }
  async changed(signal: AbortSignal): Promise<void> {
    await pause(1, undefined, { signal }).catch(() => undefined);
  }
}

/** A receiver over a link that breaks: what is in flight then is lost, received or received without an answer. */
class Receiver implements LogSink {
  readonly durable: Buffer[] = [];
  have = 0;
  up = true;
  inFlight: { offset: number; bytes: Uint8Array }[] = [];
  largestWindow = 0;
  readonly offsets: number[] = [];
  #waiting: (() => void)[] = [];

  send({ offset, bytes }: { offset: number; bytes: Uint8Array }): boolean {
    if (!this.up) return false;
    expect(bytes.length).toBeLessThanOrEqual(chunkBytes);
    this.offsets.push(offset);
    // As a stream does: the bytes are looked at when they leave, not when they are given.
    this.inFlight.push({ offset, bytes });
    return true;
  }
  drained(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
    });
  }
  /** Takes the first `count` of what is in flight, as the coordinator would: overlaps trimmed, a gap is an error. */
  take(count: number): void {
    for (const { offset, bytes } of this.inFlight.splice(0, count)) {
      if (offset > this.have) throw new Error(`a gap: ${offset} after ${this.have}`);
      const fresh = bytes.subarray(this.have - offset);
      this.durable.push(Buffer.from(fresh));
      this.have += fresh.length;
    }
  }
  break(): void {
    this.up = false;
    this.inFlight = [];
  }
  restore(): void {
    this.up = true;
    for (const each of this.#waiting.splice(0)) each();
  }
}

const shipperOf = (source: LogSource, sink: LogSink, from = 0, sent: [number, number][] = []): LogShipper =>
  new LogShipper({
    source,
    sink,
    from,
    onAcknowledged: () => undefined,
    onFirstSent: (offset, at) => sent.push([offset, at]),
    now: () => 1,
  });

type Move =
  | { readonly kind: 'write'; readonly bytes: number }
  | { readonly kind: 'take'; readonly chunks: number; readonly answer: boolean }
  | { readonly kind: 'break' }
  | { readonly kind: 'restart' };

const moves = fc.array(
  fc.oneof<fc.Arbitrary<Move>[]>(
    fc.record({ kind: fc.constant('write' as const), bytes: fc.integer({ min: 1, max: 1_500_000 }) }),
    fc.record({
      kind: fc.constant('take' as const),
      chunks: fc.integer({ min: 1, max: 5 }),
      answer: fc.boolean(),
    }),
    fc.constant({ kind: 'break' as const }),
    fc.constant({ kind: 'restart' as const }),
  ),
  { maxLength: 12 },
);

describe('the log shipper', () => {
  it('delivers every byte once and in order over links and processes that break', async () => {
    await fc.assert(
      fc.asyncProperty(moves, fc.integer({ min: 0, max: 255 }), async (script, seed) => {
        const bytes = Buffer.alloc(
          6_000_000,
          Buffer.from(Array.from({ length: 251 }, (_, i) => (i * 7 + seed) % 256)),
        );
        const spool = new Spool(bytes);
        const receiver = new Receiver();
        let acknowledged = 0;
        let shipper = shipperOf(spool, receiver);
        const answer = (): void => {
          acknowledged = receiver.have;
          shipper.acknowledged(acknowledged);
        };
        for (const move of script) {
          switch (move.kind) {
            case 'write':
              spool.written = Math.min(bytes.length, spool.written + move.bytes);
              break;
            case 'take':
              receiver.take(move.chunks);
              if (move.answer) answer();
              break;
            case 'break':
              receiver.break();
              await pause(0);
              receiver.restore();
              shipper.linkUp();
              break;
            case 'restart':
              shipper.close();
              receiver.break();
              receiver.restore();
              shipper = shipperOf(spool, receiver, acknowledged);
              break;
          }
          await pause(0);
        }
        const complete = shipper.complete(spool.written);
        let done = false;
        void complete.then(() => (done = true));
        await eventually('all is shipped', () => {
          receiver.take(receiver.inFlight.length);
          answer();
          return done;
        });
        const expected = bytes.subarray(0, spool.written);
        expect(Buffer.concat(receiver.durable).equals(expected)).toBe(true);
        expect(await complete).toEqual({ bytes: expected.length, sha256: sha256Of(expected) });
      }),
      { numRuns: 60 },
    );
  });

  it('has at most 4 MB on their way without an acknowledgement', async () => {
    const spool = new Spool(Buffer.alloc(10_000_000, 'x'));
    spool.written = spool.bytes.length;
    const receiver = new Receiver();
    const shipper = shipperOf(spool, receiver);
    await eventually('the window is full', () => receiver.inFlight.length === windowBytes / chunkBytes);
    await pause(30);
    expect(receiver.inFlight).toHaveLength(windowBytes / chunkBytes);
    receiver.take(1);
    shipper.acknowledged(receiver.have);
    await eventually('one more goes', () => receiver.inFlight.length === windowBytes / chunkBytes);
    shipper.close();
  });

  it('sends the first bytes after a silence at once and collects what follows', async () => {
    const spool = new Spool(Buffer.alloc(1000, 'x'));
    const receiver = new Receiver();
    const shipper = shipperOf(spool, receiver);
    await pause(20);
    spool.written = 10;
    await eventually('the first chunk', () => receiver.inFlight.length === 1);
    spool.written = 20;
    // The shipper looks each 10 ms: what comes in between must not go by itself.
    await pause(15);
    expect(receiver.inFlight).toHaveLength(1);
    spool.written = 60;
    await eventually('the second chunk', () => receiver.inFlight.length === 2);
    expect(receiver.inFlight.map(({ bytes }) => bytes.length)).toEqual([10, 50]);
    shipper.close();
  });

  it('remembers when bytes were first sent, not when they were repeated', async () => {
    const spool = new Spool(Buffer.alloc(200_000, 'x'));
    spool.written = spool.bytes.length;
    const receiver = new Receiver();
    const sent: [number, number][] = [];
    const shipper = shipperOf(spool, receiver, 0, sent);
    const complete = shipper.complete(spool.written);
    await eventually('all sent', () => receiver.inFlight.length === 4);
    receiver.break();
    receiver.restore();
    shipper.linkUp();
    await eventually('all sent again', () => receiver.inFlight.length === 4);
    receiver.take(4);
    shipper.acknowledged(receiver.have);
    await complete;
    expect(sent.map(([offset]) => offset)).toEqual([0, 65_536, 131_072, 196_608]);
  });

  it('says that the spool ended before what was acknowledged', async () => {
    const spool = new Spool(Buffer.alloc(10, 'x'));
    spool.written = 5;
    const shipper = shipperOf(spool, new Receiver(), 8);
    await expect(shipper.complete(8)).rejects.toThrow('the spool ends at byte 5');
  });
});
