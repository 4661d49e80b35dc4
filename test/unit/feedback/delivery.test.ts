/** Who is told of a deployment, and in what words. */
import { describe, expect, it } from 'vitest';
import { deliveryTellable } from '../../../coordinator/feedback/delivery-message.js';
import {
  deliveryRecipients,
  type DeliveryPeople,
} from '../../../coordinator/feedback/delivery-recipients.js';
import { deliveryStory, type DeliveryTold } from '../../../coordinator/feedback/delivery-story.js';
import { targetKey } from '../../../coordinator/feedback/target.js';
import type { Chore, DeliveryNotice } from '../../../coordinator/delivery/state.js';
import type { DeploymentEnd } from '../../../shared/model/deployment.js';
import { defaultEnvironmentSettings } from '../../../shared/model/environment.js';
import { parseProjectId } from '../../../shared/model/ids.js';
import { parseMailAddress, type MailAddress } from '../../../shared/model/mail-address.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { commit, run } from './story.js';

const mail = (text: string): MailAddress => parseMailAddress(text)!;
const users: Readonly<Record<string, readonly MailAddress[]>> = {
  ada: [mail('ada@example.org'), mail('ada@old.example.com')],
  grace: [mail('grace@example.org')],
  silent: [],
};
const people: DeliveryPeople = {
  addressesOf: (user) => (Object.hasOwn(users, user) ? (users[user] ?? []) : []),
  ownerOf: () => undefined,
  deployers: () => ['grace', 'silent'],
};
const project = {
  id: parseProjectId('p'.repeat(16))!,
  name: 'git.example.org/team/app',
  url: 'https://git.example.org/team/app',
  settings: { ...defaultProjectSettings, webhooks: [{ name: 'chat', url: 'https://chat.example' }] },
};

const chore = (notice: DeliveryNotice, changes: Partial<Chore['facts']> = {}): Chore => ({
  facts: {
    deployment: 7,
    run: run('k'),
    stage: 4,
    of: { kind: 'stage' },
    source: { event: 'push', trust: 'branch', branch: 'main' },
    title: 'Fix the parser',
    by: 'ada',
    requestedAt: 1,
    ...changes,
  },
  commit: commit('1'),
  notice,
});
const rollback = { kind: 'rollback', of: 3, ofRun: run('g'), ofStage: 4, cause: 'verify-failed' } as const;

const told = (what: Chore, notify: readonly string[] = []): readonly string[] =>
  deliveryRecipients({ what, settings: { notify }, project }, people).targets.map(targetKey);
const ended = (end: DeploymentEnd): DeliveryNotice => ({ kind: 'ended', end });
const verified = ended({ kind: 'verified' });
const failed = ended({ kind: 'failed', isUntouched: false });
const unknown: DeliveryNotice = {
  kind: 'unknown',
  cause: { kind: 'agent-lost', message: 'silent for 15 s' },
};
const wanted = (...approvers: string[]): DeliveryNotice => ({ kind: 'approval-wanted', approvers });

describe('who is told of a deployment', () => {
  it('are those who may approve it', () => {
    expect(told(chore(wanted('ada', 'grace')), ['ops@example.org'])).toEqual([
      'mail:ada@example.org',
      'mail:grace@example.org',
    ]);
    expect(told(chore(wanted()))).toEqual(['mail:grace@example.org']);
    const { dropped } = deliveryRecipients(
      { what: chore(wanted('silent', 'nobody')), settings: { notify: [] }, project },
      people,
    );
    expect(dropped.map(({ reason }) => reason)).toEqual([
      '"silent" is no user with a mail address',
      '"nobody" is no user with a mail address',
    ]);
  });

  it('are those whom the environment names, each once', () => {
    const notify = ['ops@example.org', 'webhook:chat', 'ops@example.org', 'webhook:gone', 'no address'];
    expect(told(chore(verified), notify)).toEqual(['mail:ops@example.org', 'webhook:chat']);
    const { dropped } = deliveryRecipients({ what: chore(verified), settings: { notify }, project }, people);
    expect(dropped).toEqual([
      { target: 'webhook:gone', reason: 'the project has no webhook "gone"' },
      { target: undefined, reason: '"no address" is no mail address' },
    ]);
  });

  it('is whoever asked for it too, when it came out badly', () => {
    const bad = [failed, unknown, ended({ kind: 'verify-failed', reason: 'no' })];
    for (const notice of bad) expect(told(chore(notice))).toEqual(['mail:ada@example.org']);
    expect(told(chore(failed, { by: 'Somebody' }))).toEqual([]);
    expect(told(chore(verified))).toEqual([]);
    expect(told(chore(ended({ kind: 'settled-bad', by: 'ada' })))).toEqual([]);
  });
});

const storyOf = (what: Chore, changes: Partial<DeliveryTold> = {}) =>
  deliveryStory({
    project,
    environment: 'production',
    what,
    settings: { ...defaultEnvironmentSettings, url: 'https://app.example.org' },
    since: commit('9'),
    commits: [],
    ...changes,
  });
const target = { kind: 'mail', address: mail('ada@example.org'), because: 'you asked for it' } as const;
const mailOf = (what: Chore, changes: Partial<DeliveryTold> = {}) =>
  deliveryTellable(storyOf(what, changes), 'p/production/3').mailFor(target);

describe('the mail', () => {
  it('asks for an approval with what would be new there, and what to type', () => {
    const commits = Array.from({ length: 23 }, (_, n) => ({
      commit: commit('2'),
      title: `change ${n}`,
      authorName: 'Ada',
      authorMail: 'ada@example.org',
    }));
    const settings = { ...defaultEnvironmentSettings, approval: { by: [], notAuthor: true } };
    const { subject, text } = mailOf(chore(wanted('grace')), { commits, settings });
    expect(subject).toBe('[gantry] app production: approval wanted – "Fix the parser"');
    for (const part of [
      `change       ${'1'.repeat(12)}  Fix the parser`,
      `there now    ${'9'.repeat(12)}`,
      'Whoever submitted, landed or wrote it may not give it.',
      `What it brings:\n  ${'2'.repeat(12)}  change 0 (Ada)`,
      '  and 3 more',
      'gantry approve production',
      "gantry reject production --reason '…'",
      'You are told because you asked for it.',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('says what is new there when it is there, and of a rollback that nothing is', () => {
    const commits = [
      { commit: commit('2'), title: 'Fix it', authorName: 'Ada', authorMail: 'ada@example.org' },
    ];
    const { text } = mailOf(chore(verified), { commits });
    expect(text).toMatch(
      /^production: deployed 111111111111\nDeployment 7 is on production: it succeeded\.\n/,
    );
    expect(text).toContain(`before it    ${'9'.repeat(12)}`);
    expect(text).toContain(`${'2'.repeat(12)}  Fix it (Ada)`);
    expect(mailOf(chore(verified, { of: rollback })).text).not.toContain('before it');
    expect(mailOf(chore(failed)).text).not.toContain('before it');
  });

  it('says how to settle what nobody knows', () => {
    const { text, subject } = mailOf(chore(unknown));
    expect(subject).toContain('production: nobody knows how deployment 7 came out');
    for (const part of [
      'its agent was lost: silent for 15 s.',
      'gantry environments settle production --good',
      'gantry environments settle production --bad',
      `gantry logs ${run('k')} 4`,
    ]) {
      expect(text).toContain(part);
    }
  });

  it('tells apart what came well, what failed, and what was gone back to', () => {
    const subjects = [
      chore(verified),
      chore(failed),
      chore({ kind: 'rolling-back', to: 3, cause: 'verify-failed' }, { of: rollback }),
      chore(verified, { of: rollback }),
      chore(failed, { of: rollback }),
    ].map((what) => storyOf(what).headline);
    expect(subjects).toEqual([
      'production: deployed 111111111111',
      'production: deployment failed',
      'production: rolling back to 111111111111',
      'production: rolled back to 111111111111',
      'production: rollback failed',
    ]);
  });

  it('says that it goes back by itself only where it does', () => {
    const what = chore(ended({ kind: 'verify-failed', reason: 'step 1 exited with code 1' }));
    const rollsBack = { ...defaultEnvironmentSettings, rollsBack: true };
    expect(mailOf(what, { settings: rollsBack }).text).toContain('goes back by itself');
    expect(mailOf(what).text).not.toContain('goes back by itself');
    expect(mailOf(what).text).toContain('its verify failed: step 1 exited with code 1.');
  });

  it('is one line, fetches nothing and runs nothing, whatever people wrote', () => {
    const evil = '<img src=x onerror=alert(1)>\r\nBcc: all@example.org\u001b[2J\u202e"\'&$(reboot)`';
    const notices: DeliveryNotice[] = [
      wanted(evil),
      { kind: 'unknown', cause: { kind: 'agent-lost', message: evil } },
      ended({ kind: 'verify-failed', reason: evil }),
      ended({ kind: 'settled-bad', by: evil, reason: evil }),
      { kind: 'rolling-back', to: 3, cause: 'asked' },
    ];
    for (const notice of notices) {
      const what = chore(notice, { title: evil, by: evil });
      const { subject, text, html } = mailOf(what, {
        project: { ...project, name: evil },
        settings: { ...defaultEnvironmentSettings, url: evil },
        commits: [{ commit: commit('2'), title: evil, authorName: evil, authorMail: evil }],
      });
      expect(subject).toBe(printable(subject));
      expect(subject.length).toBeLessThanOrEqual(180);
      for (const line of text.split('\n')) expect(line).toBe(printable(line));
      expect(text).not.toMatch(/^Bcc/m);
      for (const tag of html.match(/<[^>]*>/g) ?? []) expect(tag).not.toMatch(/onerror|alert|src|href/);
      // Only what Gantry wrote stands behind a prompt.
      const { commands } = storyOf(what);
      for (const { command } of commands) expect(command).toMatch(/^gantry [A-Za-z0-9 -]+(?:'…')?$/);
    }
  });
});

describe('the webhook', () => {
  it('has the same as data, under an id that news and target make', () => {
    const tellable = deliveryTellable(
      storyOf(chore(ended({ kind: 'verify-failed', reason: 'no' }), { of: rollback })),
      'p/production/3',
    );
    const id = tellable.deliveryTo('webhook:chat');
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(deliveryTellable(storyOf(chore(verified)), 'p/production/3').deliveryTo('webhook:chat')).toBe(id);
    expect(deliveryTellable(storyOf(chore(verified)), 'p/production/4').deliveryTo('webhook:chat')).not.toBe(
      id,
    );
    expect(JSON.parse(tellable.webhookBody(id))).toMatchObject({
      v: 1,
      delivery: id,
      news: 'deployment-ended',
      project: { id: project.id, name: project.name },
      environment: 'production',
      deployment: { number: 7, run: run('k'), commit: commit('1'), by: 'ada', branch: 'main', rollbackOf: 3 },
      end: { kind: 'verify-failed', message: 'its verify failed: no' },
    });
  });
});
