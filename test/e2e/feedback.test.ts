/** A failing push mails its author, the fix says so; with real git, a real SMTP server, and the built programs as processes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { HttpReceiver } from '../support/http-receiver.js';
import { runProgram, startUp, type Up } from '../support/installation.js';
import { ada, Remote, type Person } from '../support/remote.js';
import { SmtpCatcher, type CaughtMail } from '../support/smtp-catcher.js';

interface Row {
  readonly run: string;
  readonly status: string;
  readonly commit: string;
}

/** On a host agent without an image: what is tested is who hears of it, not how steps run. */
const pipeline = (step: string, more = ''): string =>
  `${more}stages:\n  test:\n    agents: [executor=host]\n    image: null\n    steps: [{ name: unit tests, run: "${step}" }]\n`;
const red = pipeline('echo 1 test failed; exit 3');

const grace: Person = { name: 'Grace', mail: 'grace@corp.example' };
const password = 'hunter2';
let root: string;
let smtp: SmtpCatcher;
let http: HttpReceiver;
let up: Up;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-remotes-'));
  smtp = await SmtpCatcher.start({ credentials: { user: 'ci', password } });
  http = await HttpReceiver.start();
  up = await startUp(
    ['--executor', 'host', '--slots', '4', '--repo-root', root, '--mail-from', 'ci@gantry.example'],
    { GANTRY_SMTP: `smtp://ci:${password}@127.0.0.1:${smtp.port}` },
  );
  await up.json(['users', 'add', 'ada', '--mail', ada.mail]);
});
afterAll(async () => {
  await up.stop();
  await smtp.stop();
  await http.stop();
  await rm(root, { recursive: true, force: true });
});

async function project(name: string, file: string, ...flags: readonly string[]): Promise<Remote> {
  const remote = await Remote.make(root, name);
  const commit = await remote.commit({ '.gantry.yml': file });
  await remote.push();
  await up.json(['projects', 'add', remote.directory, '--poll', '1s', ...flags]);
  await ended(remote, commit);
  return remote;
}

async function pushed(
  remote: Remote,
  file: string,
  how: { readonly message?: string; readonly author?: Person } = {},
): Promise<Row> {
  const commit = await remote.commit({ '.gantry.yml': file }, how);
  await remote.push();
  return ended(remote, commit);
}

function ended(remote: Remote, commit: string): Promise<Row> {
  const name = remote.directory.replace(/\.git$/, '');
  return eventually(
    `the end of a run of ${commit.slice(0, 8)}`,
    async () => {
      const { runs } = (await up.json(['runs', '--project', name])) as { readonly runs: readonly Row[] };
      return runs.find((run) => run.commit === commit && /^(?:succeeded|failed|canceled)$/.test(run.status));
    },
    60_000,
  );
}

const mailsOf = (run: string, to: string): readonly CaughtMail[] =>
  smtp.to(to).filter((mail) => mail.headers.get('x-gantry-run')?.[0] === run);

const mailed = (run: string, to: string): Promise<CaughtMail> =>
  eventually(`a mail to ${to} about ${run}`, () => mailsOf(run, to)[0], 30_000);

async function killCoordinator(): Promise<void> {
  const daemon = (await up.daemons()).find(({ name }) => name === 'coordinator');
  if (daemon === undefined) throw new Error('there is no coordinator');
  process.kill(daemon.pid, 'SIGKILL');
  await eventually(
    'another coordinator answers',
    async () => {
      const now = (await up.daemons()).find(({ name }) => name === 'coordinator');
      return now?.pid !== daemon.pid && (await up.gantry(['runs'])).code === 0;
    },
    60_000,
  );
}

describe('A push that fails', () => {
  it('mails its author, says since when, and the fix mails "fixed"', async () => {
    const remote = await project('app', pipeline('true'));
    const green = await remote.git(remote.clone, 'rev-parse', 'HEAD');
    const first = await pushed(remote, red, { message: 'Break the parser' });
    expect(first.status).toBe('failed');
    const mail = await mailed(first.run, ada.mail);
    expect(mail.headers.get('subject')).toEqual(['[gantry] app main: failed: test – "Break the parser"']);
    expect(mail.from).toBe('ci@gantry.example');
    for (const part of [
      'test: step 1 exited with code 3',
      'step 1: unit tests',
      '| 1 test failed',
      `last green   commit ${green.slice(0, 12)}`,
      `${first.commit.slice(0, 12)}  Break the parser (${ada.name})`,
      `gantry logs ${first.run} 1`,
    ]) {
      expect(mail.text).toContain(part);
    }

    const second = await pushed(remote, red, { message: 'Try to mend it' });
    const still = await mailed(second.run, ada.mail);
    expect(still.headers.get('subject')?.[0]).toContain('app main: still failing: test');
    const shown = (await up.gantry(['show', second.run])).stdout;
    expect(shown).toContain(
      `failing since ${first.commit.slice(0, 12)} (run ${first.run.slice(0, 8)}), last green ${green.slice(0, 12)}`,
    );
    expect(await up.json(['show', second.run])).toMatchObject({
      failing: { since: { commit: first.commit, run: first.run }, lastGreen: { commit: green } },
    });

    const third = await pushed(remote, pipeline('true'), { message: 'Mend the parser' });
    const fixed = await mailed(third.run, ada.mail);
    expect(fixed.headers.get('subject')).toEqual(['[gantry] app main: fixed – "Mend the parser"']);
    expect(fixed.text).toContain(`had failed since  commit ${first.commit.slice(0, 12)}`);
    // All three commits since the last green one are named.
    for (const { commit } of [first, second, third]) expect(fixed.text).toContain(commit.slice(0, 12));
    const thread = mail.headers.get('message-id');
    expect([still.headers.get('in-reply-to'), fixed.headers.get('in-reply-to')]).toEqual([thread, thread]);
  });

  it('mails the other authors since the last green run, if they are known or of an allowed domain', async () => {
    const remote = await project('team', pipeline('true'), '--mail-domain', 'corp.example');
    await remote.commit({ a: '1' }, { author: grace });
    await remote.commit({ a: '2' }, { author: { name: 'Mallory', mail: 'mallory@evil.example' } });
    const { run } = await pushed(remote, red);
    await Promise.all([mailed(run, ada.mail), mailed(run, grace.mail)]);
    expect(smtp.asked).not.toContain('mallory@evil.example');
  });

  it('whose pipeline is invalid mails where it is wrong', async () => {
    const remote = await project('invalid', pipeline('true'));
    const { run } = await pushed(remote, 'stages:\n  test:\n    stepz: [make]\n');
    const mail = await mailed(run, ada.mail);
    expect(mail.headers.get('subject')?.[0]).toContain('failed: the pipeline is invalid');
    expect(mail.text).toContain('.gantry.yml:3');
    expect(mail.text).toContain('stepz');
  });

  it('of hostile names injects nothing', async () => {
    const remote = await project('hostile', pipeline('true'));
    const branch = 'x";echo${IFS}owned;$(id)`id`\u202ey';
    await remote.git(remote.clone, 'checkout', '--quiet', '-b', branch);
    const { run } = await pushed(remote, red, {
      message: '=?utf-8?q?=0d=0aBcc:_victim=40example.org?= \u202e<b>x</b>',
      author: { name: 'Eve\u202e"; Bcc: victim@example.org', mail: ada.mail },
    });
    const mail = await mailed(run, ada.mail);
    expect(smtp.asked.filter((to) => to.startsWith('victim'))).toEqual([]);
    expect([mail.headers.get('bcc'), mail.headers.get('to')]).toEqual([undefined, [ada.mail]]);
    expect(`${mail.headers.get('subject')?.[0] ?? ''}${mail.text}${mail.html}`).not.toMatch(
      /\u202e|\r|<b>x<\/b>.*<\/html>/,
    );
    expect(mail.html).toContain('&lt;b&gt;x&lt;/b&gt;');
  });
});

describe('A coordinator that is killed between event and delivery', () => {
  it('tells everybody all the same, and nobody twice', async () => {
    const rules = `notify: { webhooks: [chat] }\n`;
    const remote = await project('killed', pipeline('true'), '--webhook', `chat=${http.url}/hook`);
    smtp.answer = () => ({ code: 451, message: 'not now' });
    const before = http.received.length;
    const { run } = await pushed(remote, pipeline('exit 1', rules));
    await eventually(
      'a first try by mail, and the webhook',
      () => http.received.length > before && smtp.asked.includes(ada.mail),
    );
    await eventually('the webhook is on record', async () =>
      /"webhook:chat".*"told of a run"/.test(await up.logOf('coordinator')),
    );
    await killCoordinator();
    smtp.answer = () => undefined;
    await mailed(run, ada.mail);
    // Between the server's word and the journal a kill would have it told again, under the same id.
    await eventually('the mail is on record', async () =>
      new RegExp(`"run":"${run}".*"mail:.*"told of a run"`).test(await up.logOf('coordinator')),
    );
    await killCoordinator();
    // What was told is not told again: what comes after it is told, and that alone.
    const next = await pushed(remote, pipeline('true', rules));
    await mailed(next.run, ada.mail);
    await eventually('the webhook hears of the fix', () => http.received.length >= before + 2);
    expect([mailsOf(run, ada.mail).length, mailsOf(next.run, ada.mail).length]).toEqual([1, 1]);
    const ids = http.received.slice(before).map(({ headers }) => headers['x-gantry-delivery']);
    expect([ids.length, new Set(ids).size]).toEqual([2, 2]);
    expect(JSON.parse(http.received[before]?.body ?? '')).toMatchObject({ news: 'failed', run: { id: run } });
  });
});

describe('gantry doctor', () => {
  it('shows a target that is dead, and one that lives again', async () => {
    const remote = await project('doctor', pipeline('true'));
    smtp.answer = () => ({ code: 450, message: 'greylisted' });
    const { run } = await pushed(remote, red);
    const mail = async (): Promise<{ readonly level: string; readonly message: string } | undefined> => {
      const { checks } = (await up.json(['doctor'], { codes: [0, 1] })) as {
        readonly checks: readonly {
          readonly name: string;
          readonly level: string;
          readonly message: string;
        }[];
      };
      return checks.find(({ name }) => name === 'coordinator: mail');
    };
    const dead = await eventually('doctor says so', async () => {
      const check = await mail();
      return check?.level === 'warning' && check;
    });
    expect(dead.message).toContain('greylisted');
    smtp.answer = () => undefined;
    await mailed(run, ada.mail);
    await eventually('doctor is content', async () => (await mail())?.level === 'ok');
  });
});

describe('The password of the SMTP server', () => {
  it('is on no command line, in no log, and in no environment but the coordinator’s', async () => {
    const daemons = await up.daemons();
    for (const { name, pid } of daemons) {
      const commandLine = (await runProgram('cat', [`/proc/${pid}/cmdline`])).stdout;
      const environment = (await runProgram('cat', [`/proc/${pid}/environ`])).stdout;
      expect(commandLine, name).not.toContain(password);
      expect(environment.includes(password), name).toBe(name === 'coordinator');
      expect(await up.logOf(name), name).not.toContain(password);
    }
  });

  it('is not in the message when the URL is wrong', async () => {
    const wrong = await up.gantry([
      'up',
      '--data',
      join(root, 'data'),
      '--smtp',
      `smtp://ci:${password}@h/x`,
    ]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('--smtp (GANTRY_SMTP): nothing may follow HOST:PORT');
    expect(wrong.stderr).not.toContain(password);
  });
});
