/** Only what is green lands: `gantry land` with real git, and the built programs as processes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startUp, type Up } from '../support/installation.js';
import { GateProject } from '../support/gate-project.js';
import { ada } from '../support/remote.js';
import { SmtpCatcher } from '../support/smtp-catcher.js';
import { eventually } from '../support/eventually.js';

let root: string;
let up: Up;
let mails: SmtpCatcher;
let asAda: Readonly<Record<string, string>>;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-gates-'));
  mails = await SmtpCatcher.start();
  up = await startUp([
    ...['--executor', 'host', '--slots', '4', '--repo-root', root],
    ...['--smtp', mails.url, '--mail-from', 'gantry@example.org'],
  ]);
  await up.json(['users', 'add', 'ada', '--mail', ada.mail]);
  const made = (await up.json(['tokens', 'create', '--user', 'ada'])) as { readonly text: string };
  asAda = { GANTRY_TOKEN: made.text };
});
afterAll(async () => {
  await up.stop();
  await mails.stop();
  await rm(root, { recursive: true, force: true });
});

const project = (name: string, ...flags: readonly string[]): Promise<GateProject> =>
  GateProject.make({ up, root, name, flags, env: asAda });

describe('A change that is queued', () => {
  it('lands when its merged result is green, with the trailer of its run and its author kept', async () => {
    const app = await project('green');
    const change = await app.branch('login', { 'login.txt': 'new' }, { message: 'Add the login' });
    const landed = await app.land('login');
    expect(landed).toMatchObject({ status: 'landed' });
    const tip = await app.tip('main');
    expect(tip).toBe(landed.landedAs);
    expect(await app.show(tip, '%P')).toBe(`${app.first} ${change}`);
    expect(await app.show(tip, '%an %cn')).toBe('Gantry Gantry');
    expect(await app.show(tip, '%(trailers:key=Gantry-Run,valueonly)')).toBe(landed.run);
    expect(await app.show(change, '%an')).toBe('Ada Author');
    expect(await app.runs()).toContainEqual(
      expect.objectContaining({ run: landed.run, event: 'gate', status: 'succeeded', commit: tip }),
    );
    // What landed is built as a push, once.
    const pushed = await app.ended(tip, 'push');
    expect(pushed.status).toBe('succeeded');
    expect((await app.runs()).filter((run) => run.commit === tip && run.event === 'push')).toHaveLength(1);
  });

  it('is not integrated when it fails, and the one who queued it is told with the end of the log', async () => {
    const app = await project('red');
    await app.branch('broken', { 'check.sh': 'echo the answer is wrong; exit 3\n' });
    const left = await app.land('broken');
    expect(left).toMatchObject({ status: 'ejected' });
    expect(left.reason).toContain('stage test failed');
    expect(await app.tip('main')).toBe(app.first);
    const mail = await eventually('the mail to Ada', () =>
      mails.to(ada.mail).find(({ text }) => text.includes('NOT INTEGRATED: BROKEN')),
    );
    expect(mail.text).toContain('the answer is wrong');
    expect(mail.text).toContain('gantry land broken');
  });
});
