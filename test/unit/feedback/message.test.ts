/** What is told, as subject, text, HTML and JSON. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mailOf, webhookBody } from '../../../coordinator/feedback/compose.js';
import type { MailMessage } from '../../../coordinator/feedback/deliverer.js';
import { deliveryId } from '../../../coordinator/feedback/delivery-id.js';
import { subjectOf } from '../../../coordinator/feedback/headline.js';
import { lastLines, shownLine } from '../../../coordinator/feedback/log-lines.js';
import { maxLineLength, maxLogLines } from '../../../coordinator/feedback/story.js';
import { parseMailAddress } from '../../../shared/model/mail-address.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { commit, run, story } from './story.js';

const target = {
  kind: 'mail',
  address: parseMailAddress('ada@example.org')!,
  because: 'you pushed it',
} as const;
const mail = (changes: Parameters<typeof story>[0] = {}): MailMessage => mailOf(story(changes), target);

describe('the subject', () => {
  it('says project, branch, what became of it, where, and the change', () => {
    expect(subjectOf(story())).toBe('[gantry] app main: failed: test (python=3.12) – "Fix the parser"');
    expect(subjectOf(story({ news: 'still-failing', moreFailed: 2 }))).toBe(
      '[gantry] app main: still failing: test (python=3.12) and 2 more – "Fix the parser"',
    );
    expect(subjectOf(story({ news: 'fixed', failed: [] }))).toBe(
      '[gantry] app main: fixed – "Fix the parser"',
    );
    expect(subjectOf(story({ tag: 'v1', branch: null }))).toContain('app v1 (tag): failed');
    const failure = { kind: 'invalid-pipeline', lines: ['.gantry.yml:1:1: no'] } as const;
    expect(subjectOf(story({ failed: [], failure }))).toContain('failed: the pipeline is invalid');
  });

  it('has a bound', () => {
    const long = 'x'.repeat(5_000);
    expect(subjectOf(story({ title: long, branch: long })).length).toBeLessThanOrEqual(180);
  });
});

describe('a mail', () => {
  it('has all that is needed to mend it, as text', () => {
    const { text } = mail();
    for (const part of [
      'FAILED: test (python=3.12)',
      'step 2 exited with code 1',
      'step 2: unit tests',
      '  | 1 failed, 1 passed',
      `fails since  commit ${'1'.repeat(12)} (run kkkkkkkk)`,
      `last green   commit ${'9'.repeat(12)} (run gggggggg)`,
      'Commits since the last green run:\n  111111111111  Fix the parser (Ada Lovelace)',
      `gantry show ${run('k')}`,
      `gantry logs ${run('k')} 3`,
      '2 stages did not run.',
      'You are told because you pushed it.',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('says the same as HTML', () => {
    const { html } = mail();
    for (const part of [
      'Failed: test (python=3.12)',
      'step 2 exited with code 1',
      '1 failed, 1 passed',
      'gggggggg',
    ]) {
      expect(html).toContain(part);
    }
  });

  it('fetches nothing and runs nothing, whatever is in it', () => {
    const evil =
      '<img src=x onerror=alert(1)><script>alert(1)</script>"\'&<a href="http://evil.example">x</a>';
    const { html } = mail({
      title: evil,
      branch: evil,
      author: evil,
      by: evil,
      project: { ...story().project, name: evil, short: evil },
      failure: { kind: 'invalid-pipeline', lines: [evil] },
      failed: [
        {
          ...story().failed[0]!,
          title: evil,
          reason: evil,
          agent: evil,
          step: { number: 1, name: evil },
          log: { lines: [evil], isCut: false, missing: evil },
        },
      ],
      commits: [{ commit: commit('2'), title: evil, author: evil }],
    });
    expect(
      html.match(/<(?!\/?(?:html|head|meta|body|table|tr|td|div|pre|span)\b|!doctype html>)/g),
    ).toBeNull();
    for (const tag of html.match(/<[^>]*>/g) ?? []) expect(tag).not.toMatch(/evil|onerror|alert|href|src/);
  });

  it('belongs to the thread of the failure', () => {
    const failing = { since: { run: run('f'), commit: commit('3') } };
    const thread = deliveryId(run('f'), 'mail:ada@example.org', 'failed');
    expect(mail({ news: 'still-failing', failing }).inReplyTo).toBe(thread);
    expect(mail({ news: 'fixed', failing }).inReplyTo).toBe(thread);
    expect(mail().inReplyTo).toBeUndefined();
    expect(mailOf(story({ run: run('f'), failing }), target).id).toBe(thread);
  });

  it('has an id that run, target and news make, and nothing else', () => {
    const ids = [
      deliveryId(run('a'), 'mail:a@b', 'failed'),
      deliveryId(run('b'), 'mail:a@b', 'failed'),
      deliveryId(run('a'), 'mail:c@b', 'failed'),
      deliveryId(run('a'), 'mail:a@b', 'fixed'),
    ];
    expect(new Set(ids).size).toBe(4);
    expect(ids[0]).toBe(deliveryId(run('a'), 'mail:a@b', 'failed'));
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('the body of a webhook', () => {
  it('is JSON that says what text and HTML say', () => {
    expect(JSON.parse(webhookBody(story(), 'id1'))).toMatchObject({
      v: 1,
      delivery: 'id1',
      news: 'failed',
      project: { name: 'git.example.org/team/app' },
      run: { id: run('k'), branch: 'main', commit: commit('1'), title: 'Fix the parser' },
      stages: [
        {
          number: 3,
          title: 'test (python=3.12)',
          failure: { kind: 'exit-code', message: 'step 2 exited with code 1', ours: false },
          step: { number: 2, name: 'unit tests' },
          log: { lines: ['collected 2 items', '1 failed, 1 passed'], cut: true, missing: null },
        },
      ],
      failing: { since: { run: run('k') }, lastGreen: { run: run('g') } },
      commits: [{ title: 'Fix the parser', author: 'Ada Lovelace' }],
    });
  });
});

describe('the end of a log', () => {
  const end = (text: string, offset = 0): ReturnType<typeof lastLines> =>
    lastLines({ bytes: Buffer.from(text), offset });

  it('is its last lines, without what was cut in the middle', () => {
    const text = Array.from({ length: 100 }, (_, n) => `line ${n}`).join('\n');
    const { lines, isCut } = end(`${text}\n`);
    expect([lines.length, lines[0], lines.at(-1), isCut]).toEqual([maxLogLines, 'line 70', 'line 99', true]);
    expect(end('half a line\nwhole\n', 100)).toEqual({ lines: ['whole'], isCut: true, missing: null });
    expect(end('')).toEqual({ lines: [], isCut: false, missing: null });
    expect(end('one\n').isCut).toBe(false);
  });

  it('is without control sequences, and no line is longer than fits', () => {
    const { lines } = end(
      `\u001b[31mred\u001b[0m\u001b]0;title\u0007\r\n${'x'.repeat(9_999)}\na\tb\u202e!\n`,
    );
    expect(lines[0]).toBe('red');
    expect(lines[1]).toHaveLength(maxLineLength);
    expect(lines[2]).toBe('a    b!');
  });

  it('is safe text, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        // eslint-disable-next-line no-control-regex -- none of these may be left
        const controls = /[\u0000-\u001f\u007f-\u009f]/;
        for (const line of lastLines({ bytes, offset: 0 }).lines) expect(line).not.toMatch(controls);
      }),
    );
  });
});

describe('one line of somebody’s text', () => {
  it('has no controls, no line ends, and the order in which it is written', () => {
    expect(printable('a\r\nBcc: x\u0000\u2028b\u202e\u2066c\u200b')).toBe('a Bcc: x bc');
    expect(printable('\ud800x')).toBe('\ufffdx');
    expect(printable('né 漢字 👩‍💻')).toBe('né 漢字 👩‍💻');
    expect(shownLine('tail   ')).toBe('tail');
  });
});
