import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { parseDelivery } from '../../../coordinator/triggers/delivery.js';
import { movesBetween } from '../../../coordinator/triggers/moves.js';
import { Poller, type PollerOptions } from '../../../coordinator/triggers/poller.js';
import { reportedMove } from '../../../coordinator/triggers/push-identity.js';
import { parseCommitId, type CommitId } from '../../../shared/model/ids.js';
import { isSignatureGood, signMessage } from '../../../shared/webhook-signature.js';
import { projectId } from '../scheduler/ids.js';

const commit = (digit: string): CommitId => parseCommitId(digit.repeat(40))!;
const zeros = '0'.repeat(40);

describe('What is news in refs', () => {
  it('is what was made, moved and deleted, of branches and tags', () => {
    const known = new Map([
      ['refs/heads/same', { tip: commit('a') }],
      ['refs/heads/moved', { tip: commit('a') }],
      ['refs/heads/gone', { tip: commit('a') }],
      ['refs/heads/deleted-before', {}],
    ]);
    const seen = new Map([
      ['HEAD', commit('a')],
      ['refs/heads/same', commit('a')],
      ['refs/heads/moved', commit('b')],
      ['refs/tags/v1', commit('c')],
      ['refs/notes/x', commit('c')],
    ]);
    expect(movesBetween(known, seen)).toEqual([
      { ref: 'refs/heads/moved', old: commit('a'), new: commit('b') },
      { ref: 'refs/tags/v1', new: commit('c') },
      { ref: 'refs/heads/gone', old: commit('a') },
    ]);
  });
});

describe('A poll', () => {
  const poller = (names: readonly string[], report: PollerOptions['report']): Poller => {
    const commits = new Map(names.map((name) => [name, commit('a')]));
    return new Poller({
      projects: () => Promise.resolve(new Map([[projectId(1), 0]])),
      refs: () => Promise.resolve({ commits }),
      news: () => Promise.resolve({ moves: movesBetween(new Map(), commits), isSettled: false }),
      report,
      log: pino({ level: 'silent' }),
    });
  };

  it('reports many refs in parts that fit the journal, however long their names are', async () => {
    const names = Array.from({ length: 700 }, (_, n) => `refs/heads/${'a'.repeat(1_000)}${n}`);
    const parts: { readonly bytes: number; readonly isPartial: boolean; readonly moves: number }[] = [];
    const polling = poller(names, (_project, source, moves) => {
      const isPartial = source.kind === 'poll' && source.partial === true;
      parts.push({ bytes: JSON.stringify(moves).length, isPartial, moves: moves.length });
      return Promise.resolve([]);
    });
    expect(await polling.pollNow(projectId(1))).toEqual({ moves: 700, runs: [] });
    polling.close();
    expect(Math.max(...parts.map(({ bytes }) => bytes))).toBeLessThan(300 * 1024);
    expect(parts.map(({ isPartial }) => isPartial)).toEqual(parts.map((_, n) => n + 1 < parts.length));
    expect(parts.reduce((sum, { moves }) => sum + moves, 0)).toBe(700);
  });

  it('that nobody takes is trouble of the project, and no silence', async () => {
    const polling = poller(['refs/heads/main'], () => Promise.reject(new Error('it does not fit')));
    await expect(polling.pollNow(projectId(1))).rejects.toThrow('it does not fit');
    expect(polling.troubleOf(projectId(1))).toBe('it does not fit');
    polling.close();
  });
});

describe('The identity of a push', () => {
  it('is the same for the same project, ref, old and new, and another for any other', () => {
    const move = { ref: 'refs/heads/main', old: commit('a'), new: commit('b') };
    const { run } = reportedMove(projectId(1), move);
    expect(reportedMove(projectId(1), { ...move }).run).toBe(run);
    const others = [
      reportedMove(projectId(2), move),
      reportedMove(projectId(1), { ...move, ref: 'refs/heads/other' }),
      reportedMove(projectId(1), { ref: move.ref, new: move.new }),
      reportedMove(projectId(1), { ref: move.ref, old: move.old }),
      reportedMove(projectId(1), { ref: move.ref, old: move.new, new: move.old }),
    ];
    expect(new Set([run, ...others.map((other) => other.run)]).size).toBe(6);
  });
});

describe('A delivery', () => {
  it('is read with zeros as nothing', () => {
    const body = {
      pusher: 'ada',
      moves: [
        { ref: 'refs/heads/a', old: zeros, new: commit('b') },
        { ref: 'refs/heads/b', old: commit('b'), new: zeros },
      ],
    };
    expect(parseDelivery(JSON.stringify(body))).toEqual({
      pusher: 'ada',
      moves: [
        { ref: 'refs/heads/a', new: commit('b') },
        { ref: 'refs/heads/b', old: commit('b') },
      ],
    });
  });

  it.each([
    ['no JSON', '{', 'the body is no JSON'],
    ['no moves', '{}', 'moves'],
    ['an empty list', '{"moves":[]}', 'moves'],
    ['a ref that is none', `{"moves":[{"ref":"main","old":"${zeros}","new":"${zeros}"}]}`, 'moves.0.ref'],
    [
      'a ref with control characters',
      `{"moves":[{"ref":"refs/heads/a\\nb","old":"${zeros}","new":"${zeros}"}]}`,
      'moves.0.ref',
    ],
    ['a short commit', `{"moves":[{"ref":"refs/heads/a","old":"abc","new":"${zeros}"}]}`, 'moves.0.old'],
    [
      'a pusher with a line end',
      `{"pusher":"a\\nb","moves":[{"ref":"refs/heads/a","old":"${zeros}","new":"${zeros}"}]}`,
      'pusher',
    ],
    [
      'more than it should have',
      `{"moves":[{"ref":"refs/heads/a","old":"${zeros}","new":"${zeros}"}],"x":1}`,
      'body',
    ],
  ])('with %s is told what is wrong', (_what, body, where) => {
    expect(parseDelivery(body)).toContain(where);
  });
});

describe('A signature', () => {
  const now = 1_700_000_000;
  const body = Buffer.from('{"a":1}');
  const delivery = 'delivery-1';
  const signed = { timestamp: now, delivery, body };
  const good = { ...signed, timestamp: String(now), signature: signMessage('secret', signed) };

  it('counts for five minutes', () => {
    expect(isSignatureGood('secret', good, now)).toBe(true);
    expect(isSignatureGood('secret', good, now + 300)).toBe(true);
    expect(isSignatureGood('secret', good, now + 301)).toBe(false);
    expect(isSignatureGood('secret', good, now - 301)).toBe(false);
  });

  it.each([
    ['another secret', { signature: signMessage('other', signed) }],
    ['another body', { body: Buffer.from('{"a":2}') }],
    ['another timestamp', { timestamp: String(now + 1) }],
    ['another delivery', { delivery: 'delivery-2' }],
    ['no signature', { signature: '' }],
    ['no timestamp', { timestamp: '' }],
    ['a timestamp that is no number', { timestamp: `${now}x` }],
    ['a signature without its kind', { signature: good.signature.slice('sha256='.length) }],
  ])('of %s does not count', (_what, change) => {
    expect(isSignatureGood('secret', { ...good, ...change }, now)).toBe(false);
  });
});
