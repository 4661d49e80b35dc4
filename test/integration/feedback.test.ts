/** People hear about it: a real SMTP server and a real HTTP receiver, the real loop, a journal in memory. */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { diagnoseFeedback } from '../../coordinator/feedback/diagnose-feedback.js';
import { parseSmtpUrl, type SmtpServer } from '../../coordinator/feedback/smtp-url.js';
import { deferred } from '../../shared/async/deferred.js';
import { deliveryId } from '../../coordinator/feedback/delivery-id.js';
import type { RunId } from '../../shared/model/ids.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import { projectId } from '../unit/scheduler/ids.js';
import { eventually } from '../support/eventually.js';
import { FeedbackWorld, type FeedbackWorldOptions } from '../support/feedback-world.js';
import { HttpReceiver } from '../support/http-receiver.js';
import { SmtpCatcher } from '../support/smtp-catcher.js';

let smtp: SmtpCatcher;
let http: HttpReceiver;
let world: FeedbackWorld | undefined;

beforeEach(async () => {
  smtp = await SmtpCatcher.start();
  http = await HttpReceiver.start();
});
afterEach(async () => {
  await world?.stop();
  world = undefined;
  await smtp.stop();
  await http.stop();
});

const ada = 'ada@example.org';
const grace = 'grace@example.org';
const commit = (digit: string): CommitId => parseCommitId(digit.repeat(40))!;
const wrote = (authorMail: string, title = 'a change', authorName = 'Ada') => ({
  commit: commit('1'),
  title,
  authorName,
  authorMail,
});
const notify = { when: ['failed', 'still-failing', 'fixed'], mail: [], webhooks: ['chat'] } as const;

async function start(options: FeedbackWorldOptions = {}): Promise<FeedbackWorld> {
  world = await FeedbackWorld.start({
    smtp: parseSmtpUrl(smtp.url),
    users: { ada: [ada], grace: [grace] },
    settings: { webhooks: [{ name: 'chat', url: `${http.url}/hook` }] },
    ...options,
  });
  await world.vault.set({ project: projectId(1), space: 'webhook', name: 'chat' }, 'a secret', 'a test');
  return world;
}

const outcomes = (of: FeedbackWorld, run: RunId): readonly string[] =>
  of.notified
    .filter((event) => event.run === run)
    .map(({ target, outcome }) => `${target} ${outcome}`)
    .sort();

describe('news of a branch', () => {
  it('is failed, still failing, fixed, in one thread, and nothing while it is green', async () => {
    const here = await start();
    await here.push('green');
    const red = await here.push('red', { log: 'collecting\n\u001b[31m1 failed\u001b[0m\n' });
    await here.settled(red);
    const still = await here.push('red');
    await here.settled(still);
    const fixed = await here.push('green');
    await here.settled(fixed);
    await here.push('green');

    const mails = smtp.to(ada);
    expect(mails.map(({ headers }) => headers.get('subject')?.[0])).toEqual([
      '[gantry] app main: failed: test – "change 2"',
      '[gantry] app main: still failing: test – "change 3"',
      '[gantry] app main: fixed – "change 4"',
    ]);
    const [first, second, third] = mails;
    expect(first?.from).toBe('gantry@ci.example.org');
    expect(first?.text).toContain('  | 1 failed');
    expect(first?.text).toContain('step 1 exited with code 1');
    expect(first?.html).toContain('1 failed</pre>');
    const id = `<${deliveryId(red, `mail:${ada}`, 'failed')}@ci.example.org>`;
    expect(first?.headers.get('message-id')).toEqual([id]);
    expect(first?.headers.get('auto-submitted')).toEqual(['auto-generated']);
    expect([second?.headers.get('in-reply-to'), third?.headers.get('references')]).toEqual([[id], [id]]);
    expect(second?.text).toContain(`fails since  commit 111111111111 (run ${red.slice(0, 8)})`);
    expect(outcomes(here, red)).toEqual([`mail:${ada} delivered`]);
  });

  it('goes to every author since the last green run, and the fix to all who were told', async () => {
    const here = await start();
    here.commits = () => Promise.resolve([wrote(ada), wrote('stranger@evil.example')]);
    const red = await here.push('red', { by: 'grace' });
    await here.settled(red);
    expect(outcomes(here, red)).toEqual([
      `mail:${ada} delivered`,
      `mail:${grace} delivered`,
      'mail:stranger@evil.example given-up',
    ]);
    here.commits = () => Promise.resolve([wrote(ada)]);
    const fixed = await here.push('green', { by: 'ada' });
    await here.settled(fixed);
    expect(outcomes(here, fixed)).toEqual([`mail:${ada} delivered`, `mail:${grace} delivered`]);
    expect(smtp.asked).not.toContain('stranger@evil.example');
  });

  it('of a pipeline that is invalid says where', async () => {
    const here = await start();
    const message = '.gantry.yml:2:3: unknown key "stepz"\n  2 |   stepz: [make]\n    |   ^^^^^';
    const run = await here.push({ kind: 'invalid-pipeline', message });
    await here.settled(run);
    const [mail] = smtp.to(ada);
    expect(mail?.headers.get('subject')?.[0]).toContain('failed: the pipeline is invalid');
    expect(mail?.text).toContain(
      '  .gantry.yml:2:3: unknown key "stepz"\n    2 |   stepz: [make]\n      |   ^^^^^',
    );
  });

  it('is told although the repository cannot be read: to the author of the run’s commit', async () => {
    const here = await start();
    here.commits = () => Promise.reject(new Error('the repository is away'));
    const run = await here.push('red');
    await here.settled(run);
    expect(outcomes(here, run)).toEqual([`mail:${ada} delivered`]);
  });

  it('is not told twice, and told to the end, when several runs end at once', async () => {
    const here = await start();
    const runs = await Promise.all(
      Array.from({ length: 20 }, (_, n) => here.push('red', { branch: `topic-${n}`, notify })),
    );
    await Promise.all(runs.map((run) => here.settled(run)));
    expect([smtp.to(ada).length, http.received.length]).toEqual([20, 20]);
    const ids = smtp.mails.map(({ headers }) => headers.get('message-id')?.[0]);
    expect(new Set(ids).size).toBe(20);
  });
});

describe('a target that does not take it', () => {
  it('is tried again until it does, and holds up no other', async () => {
    const here = await start({
      settings: { webhooks: [{ name: 'chat', url: http.url }], mailDomains: ['corp.example'] },
    });
    smtp.answer = (to) => (to === ada ? { code: 451, message: 'later, please' } : undefined);
    http.answer = () => 503;
    const rules = { ...notify, mail: ['team@corp.example'] };
    const run = await here.push('red', { notify: rules });
    await eventually('the other is told', () => smtp.to('team@corp.example').length === 1);
    await eventually(
      'several tries',
      () => smtp.asked.filter((to) => to === ada).length > 2 && http.received.length > 2,
    );
    expect(here.notified.map(({ target }) => target)).toEqual(['mail:team@corp.example']);
    expect(
      here.health.lanes().find(({ lane }) => lane.startsWith('webhook chat'))?.failing?.message,
    ).toContain('503');
    smtp.answer = () => undefined;
    http.answer = () => 200;
    await here.settled(run);
    expect(outcomes(here, run)).toEqual([
      `mail:${ada} delivered`,
      'mail:team@corp.example delivered',
      'webhook:chat delivered',
    ]);
    expect(smtp.to('team@corp.example')).toHaveLength(1);
    expect(here.health.lanes().every(({ failing }) => failing === undefined)).toBe(true);
  });

  it('is given up at once when it says never', async () => {
    const here = await start();
    smtp.answer = () => ({ code: 550, message: 'no such user here' });
    http.answer = () => 410;
    const run = await here.push('red', { notify });
    await here.settled(run);
    const said = here.notified.map(({ target, outcome, message }) => `${target} ${outcome}: ${message}`);
    expect(said.sort()).toEqual([
      `mail:${ada} given-up: 550 no such user here`,
      'webhook:chat given-up: answered 410: status 410',
    ]);
    expect([smtp.asked.length, http.received.length]).toEqual([1, 1]);
    expect(here.health.lanes().find(({ lane }) => lane === 'mail')?.refused[0]?.target).toBe(`mail:${ada}`);
  });

  it('is given up alone where the SMTP server refuses it and takes the others, and doctor says so', async () => {
    const here = await start();
    here.commits = () => Promise.resolve([wrote(ada), wrote(grace)]);
    smtp.answer = (to) => (to === grace ? { code: 550, message: 'no such user here' } : undefined);
    const run = await here.push('red', { by: 'ada' });
    await here.settled(run);
    expect(outcomes(here, run)).toEqual([`mail:${ada} delivered`, `mail:${grace} given-up`]);
    expect(smtp.mails.map(({ to }) => to)).toEqual([[ada]]);
    const found = diagnoseFeedback({ health: here.health, hasMail: true, projects: 1, now: Date.now() });
    expect(found).toMatchObject([
      {
        name: 'mail',
        level: 'warning',
        message: expect.stringMatching(
          /^mail:grace@example.org was not told .*: 550 no such user here$/,
        ) as string,
      },
    ]);
  });

  it('is given up when it was tried for too long', async () => {
    const here = await start({ policy: { giveUpAfterMs: 300 } });
    await smtp.stop();
    const run = await here.push('red');
    await here.settled(run);
    expect(here.notified[0]).toMatchObject({
      outcome: 'given-up',
      message: expect.stringMatching(/^tried for 300 ms: .*ECONNREFUSED/) as string,
    });
    smtp = await SmtpCatcher.start();
  });

  it('is given up at once where no SMTP server is configured', async () => {
    world = await FeedbackWorld.start({ users: { ada: [ada] } });
    const run = await world.push('red');
    await world.settled(run);
    expect(world.notified).toMatchObject([{ outcome: 'given-up', message: 'no SMTP server is configured' }]);
  });

  it('is tried again when it answers nothing in time', async () => {
    const here = await start({ webhookTimeoutMs: 100 });
    http.answer = () => (http.received.length < 3 ? 'never' : 204);
    const run = await here.push('red', { notify });
    await here.settled(run);
    expect(http.received).toHaveLength(3);
    expect(outcomes(here, run)).toContain('webhook:chat delivered');
  });
});

describe('a crash', () => {
  it('between the end of the run and the delivery loses nothing', async () => {
    const here = await start();
    smtp.answer = () => ({ code: 451, message: 'later' });
    const run = await here.push('red');
    await eventually('a first try', () => smtp.asked.length > 0);
    await here.restart();
    smtp.answer = () => undefined;
    await here.settled(run);
    expect(smtp.to(ada)).toHaveLength(1);
    await here.restart();
    const next = await here.push('red');
    await here.settled(next);
    expect(smtp.to(ada)).toHaveLength(2);
  });

  it('after some targets have it tells only the others', async () => {
    const here = await start();
    http.answer = () => 503;
    const run = await here.push('red', { notify });
    await eventually('the mail is on record', () => here.notified.length === 1);
    await here.restart();
    http.answer = () => 200;
    await here.settled(run);
    expect(smtp.to(ada)).toHaveLength(1);
    expect(outcomes(here, run)).toEqual([`mail:${ada} delivered`, 'webhook:chat delivered']);
  });

  it('between the receiver’s yes and the journal repeats the message under the same id', async () => {
    const here = await start();
    here.killBefore = 'Notified';
    const run = await here.push('red', { notify });
    await eventually('both have it', () => smtp.to(ada).length === 1 && http.received.length === 1);
    await here.restart();
    await here.settled(run);
    const ids = smtp.to(ada).map(({ headers }) => headers.get('message-id')?.[0]);
    expect([ids.length, new Set(ids).size, http.received.length]).toEqual([2, 1, 2]);
    expect(new Set(http.received.map(({ headers }) => headers['x-gantry-delivery'])).size).toBe(1);
    expect(outcomes(here, run)).toEqual([`mail:${ada} delivered`, 'webhook:chat delivered']);
  });

  it('that is no crash but a stop waits for what is under way, so that nobody hears twice', async () => {
    const here = await start();
    const answer = deferred<number>();
    http.answer = () => answer.promise;
    const run = await here.push('red', { notify });
    await eventually('the request is there', () => http.received.length === 1);
    const stopping = here.stop();
    answer.resolve(200);
    await stopping;
    expect(outcomes(here, run)).toContain('webhook:chat delivered');
  });
});

describe('a webhook', () => {
  it('is signed over time, delivery and body', async () => {
    const here = await start();
    const run = await here.push('red', { notify });
    await here.settled(run);
    const [received] = http.received;
    const timestamp = http.header(0, 'x-gantry-timestamp');
    const expected = createHmac('sha256', 'a secret')
      .update(`${timestamp}.${http.header(0, 'x-gantry-delivery')}.${received?.body ?? ''}`)
      .digest('hex');
    expect(http.header(0, 'x-gantry-signature')).toBe(`sha256=${expected}`);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    expect(http.header(0, 'x-gantry-delivery')).toBe(deliveryId(run, 'webhook:chat', 'failed'));
    expect(received).toMatchObject({ method: 'POST', path: '/hook' });
    expect(http.header(0, 'content-type')).toBe('application/json; charset=utf-8');
    expect(JSON.parse(received?.body ?? '')).toMatchObject({ v: 1, news: 'failed', run: { id: run } });
  });

  it('follows no redirect', async () => {
    const here = await start();
    http.answer = () => ({ status: 307, location: `${http.url}/elsewhere` });
    const run = await here.push('red', { notify });
    await here.settled(run);
    expect(http.received.map(({ path }) => path)).toEqual(['/hook']);
    expect(here.notified.find(({ target }) => target === 'webhook:chat')).toMatchObject({
      outcome: 'given-up',
      message: expect.stringContaining('redirects are not followed') as string,
    });
  });

  it('without a secret, or gone from the project, is given up with the reason', async () => {
    const here = await start();
    await here.vault.remove({ project: projectId(1), space: 'webhook', name: 'chat' });
    const rules = { ...notify, webhooks: ['chat', 'nowhere'] };
    await here.settled(await here.push('red', { notify: rules }));
    expect(http.received).toEqual([]);
    const messages = here.notified
      .filter(({ target }) => target.startsWith('webhook:'))
      .map(({ message }) => message);
    expect(messages.sort()).toEqual([
      'it has no secret to sign with: set the webhook anew',
      'the project has no webhook "nowhere"',
    ]);
  });
});

describe('an SMTP server that answers one byte at a time', () => {
  it('holds no sender for longer than one mail may take', async () => {
    const sockets = new Set<Socket>();
    let closed = 0;
    // Never silent for long, and never at an end.
    const slow = createServer((socket) => {
      sockets.add(socket);
      const timer = setInterval(() => socket.write('2'), 50);
      socket.on('error', () => undefined); // the client goes away in the middle
      socket.on('close', () => {
        clearInterval(timer);
        closed += 1;
      });
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    try {
      // Listening on TCP.
      const { port } = slow.address() as AddressInfo;
      const options = { smtp: parseSmtpUrl(`smtp://127.0.0.1:${port}`), mailTotalMs: 300 };
      const here = await start({ ...options, policy: { giveUpAfterMs: 700 } });
      const run = await here.push('red');
      await here.settled(run);
      expect(here.notified).toMatchObject([
        { outcome: 'given-up', message: expect.stringContaining('more than 0.3 s for one mail') as string },
      ]);
      await eventually('it hangs up', () => closed === sockets.size);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => slow.close(resolve));
    }
  });
});

describe('the SMTP server', () => {
  const credentials = { user: 'ci@x', password: 'p/w' };
  let tls: { readonly key: string; readonly cert: string };
  let guarded: SmtpCatcher;

  beforeAll(async () => {
    tls = await certificate();
  });
  afterEach(() => guarded.stop());

  const server = (password = 'p%2Fw'): SmtpServer =>
    parseSmtpUrl(`smtp://ci%40x:${password}@127.0.0.1:${guarded.port}`);

  it('is spoken to with TLS where it offers it, and with the password it wants', async () => {
    guarded = await SmtpCatcher.start({ credentials, tls });
    const here = await start({ smtp: server() });
    await here.settled(await here.push('red'));
    expect(guarded.to(ada).map(({ wasEncrypted }) => wasEncrypted)).toEqual([true]);
  });

  it('that wants another password is tried again, and the password is in no message', async () => {
    guarded = await SmtpCatcher.start({ credentials, tls });
    const here = await start({ smtp: server('hunter2'), policy: { giveUpAfterMs: 200 } });
    await here.settled(await here.push('red'));
    expect(here.notified).toMatchObject([
      { outcome: 'given-up', message: expect.stringContaining('535') as string },
    ]);
    expect(guarded.logins.length).toBeGreaterThan(1);
    expect(JSON.stringify(here.events)).not.toContain('hunter2');
  });

  it('gets no password in the clear over a network', async () => {
    guarded = await SmtpCatcher.start({ credentials });
    const elsewhere = { ...server(), isLocal: false };
    const here = await start({ smtp: elsewhere, policy: { giveUpAfterMs: 200 } });
    await here.settled(await here.push('red'));
    expect(here.notified).toMatchObject([{ outcome: 'given-up' }]);
    expect([guarded.logins, guarded.mails]).toEqual([[], []]);
  });

  it('over a network must prove who it is, to an authority of one’s own too', async () => {
    guarded = await SmtpCatcher.start({ credentials, tls });
    const elsewhere = { ...server(), isLocal: false };
    const doubtful = await start({ smtp: elsewhere, policy: { giveUpAfterMs: 200 } });
    await doubtful.settled(await doubtful.push('red'));
    expect(doubtful.notified).toMatchObject([
      { outcome: 'given-up', message: expect.stringMatching(/self.signed certificate/) as string },
    ]);
    expect(guarded.logins).toEqual([]);
    await doubtful.stop();
    const here = await start({ smtp: elsewhere, ca: tls.cert });
    await here.settled(await here.push('red'));
    expect(guarded.to(ada)).toHaveLength(1);
  });
});

async function certificate(): Promise<{ readonly key: string; readonly cert: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-test-smtp-'));
  try {
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const names = ['-subj', '/CN=mail', '-addext', 'subjectAltName=IP:127.0.0.1'];
    await promisify(execFile)('openssl', [...request, '-days', '2', ...names, '-keyout', key, '-out', cert]);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('hostile names', () => {
  const evil = {
    'with line ends and HTML': 'x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>',
    'that turn text around, in encoded words and JSON':
      '\u202egnp.exe\u2066 =?utf-8?q?=0d=0aBcc:_v=40x?= "},{"x":"',
    'with controls, for a shell, and long': `\u0000\u001b[2J\u0007$(touch /tmp/owned)\`id\`; --${'é'.repeat(300)}`,
  };

  it.each(Object.entries(evil))('%s inject nothing', async (_what, name) => {
    const here = await start();
    here.commits = () =>
      Promise.resolve([
        wrote(ada, name, name),
        wrote(`ada@example.org\r\nBcc: victim@example.org`, name, name),
        wrote(`"a\r\nRCPT TO:<victim@example.org>"@example.org`, name, name),
        wrote('victim@example.org>,<ada@example.org', name, name),
      ]);
    const run = await here.push('red', {
      branch: name,
      title: name,
      message: name,
      author: `${name} <${ada}>`,
      by: name,
      log: `${name}\n${name}`,
      notify,
    });
    await here.settled(run);

    expect(smtp.asked).toEqual([ada]);
    const [mail] = smtp.mails;
    expect([...(mail?.headers.keys() ?? [])].sort()).toEqual(
      [
        'auto-submitted',
        'content-type',
        'date',
        'from',
        'message-id',
        'mime-version',
        'subject',
        'to',
        'x-gantry-delivery',
        'x-gantry-news',
        'x-gantry-run',
      ].sort(),
    );
    expect([...(mail?.headers.values() ?? [])].every((values) => values.length === 1)).toBe(true);
    expect(mail?.headers.get('to')).toEqual([ada]);
    // eslint-disable-next-line no-control-regex -- they are what must not be there
    const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
    for (const text of [mail?.headers.get('subject')?.[0], mail?.text, mail?.html])
      expect(text).not.toMatch(unsafe);
    expect(mail?.html).not.toContain('<script');

    // As a parser gives it: an escape sequence of JSON would be a control character again.
    const body = JSON.parse(http.received[0]?.body ?? '') as {
      readonly x?: string;
      readonly run: { readonly branch: string };
    };
    expect(body.x).toBeUndefined();
    expect(JSON.stringify(body)).not.toMatch(/\\u00[01]|\\[rnb]/);
    expect(body.run.branch).not.toMatch(unsafe);
  });
});
