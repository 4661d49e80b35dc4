/** How environments look on a terminal of 80 columns. */
import { describe, expect, it } from 'vitest';
import { diffText } from '../../../../coordinator/cli/environments/diff-text.js';
import {
  environmentTable,
  environmentText,
  inOrder,
} from '../../../../coordinator/cli/environments/environment-text.js';
import { wrapped } from '../../../../coordinator/cli/environments/wrapped.js';
import { defaultEnvironmentSettings } from '../../../../shared/model/environment.js';
import { deployment, environment, now, waiting } from './sample.js';

const plain = { color: false, now };
const text = (changes: Parameters<typeof environment>[0]): string[] =>
  environmentText(environment(changes), plain);

describe('one environment', () => {
  it('says what is there since when, by whom, from which run, with which commits, what waits, and what to type', () => {
    const current = deployment(2, { approvedBy: 'bob' });
    const open = [waiting(3, { title: 'Speed up the search' })];
    const settings = {
      ...defaultEnvironmentSettings,
      url: 'https://example.org',
      approval: { by: ['bob', 'carl'], notAuthor: true },
      promotesFrom: 'staging',
      branches: ['main'],
      rollsBack: true,
      verify: ['./smoke.sh'],
      differs: ['URL', 'DB_PASSWORD'],
    };
    const history = [current, deployment(1, { status: 'failed', reason: 'exit code 1', commits: null })];
    expect(text({ settings, current, open, history })).toEqual([
      'production free  git.example.org/team/app',
      '  url         https://example.org',
      '  approval    of bob or carl, not of an author',
      '  takes       what staging has verified, the same by digest',
      '  branches    main',
      '  verify      ./smoke.sh',
      '  bad verify  rolls back by itself',
      '  may differ  URL, DB_PASSWORD',
      '',
      'there now',
      '  #2 verified 2222222222 Add the login',
      '      since 3 h ago (2026-11-27 17:00), by ada, approved by bob, run aaaaaaaa,',
      '      of main',
      '      1 new commit:',
      '        2222222222 Add the login',
      '',
      'to come',
      '  #3 approval 3333333333 Speed up the search',
      '      asked for 5 min ago (2026-11-27 19:55), by ada, run aaaaaaaa, of main',
      '      it waits for the approval of bob (`gantry approve`)',
      '      1 new commit:',
      '        3333333333 Add the login',
      '',
      'history',
      '      STATUS    COMMIT      WHEN     BY   RUN       NEW',
      '  #2  verified  2222222222  3 h ago  ada  aaaaaaaa  1 commit',
      '  #1  failed    1111111111  3 h ago  ada  aaaaaaaa',
      '',
      'next',
      '  gantry approve production               lets it go there',
      '  gantry reject production --reason TEXT  keeps it out',
    ]);
  });

  it('begins with nothing', () => {
    expect(text({})).toEqual([
      'production free  git.example.org/team/app',
      '  approval    none: what is green goes there by itself',
      '  branches    the default branch',
      '  bad verify  waits for somebody',
      '',
      'there now',
      '  nothing was deployed yet',
    ]);
  });

  it('says of one that nobody knows how to settle it, and of a hold how to end it', () => {
    const current = deployment(2, {
      status: 'unknown',
      endedAt: null,
      reason: null,
      waitingFor: [
        'nobody knows how it came out (its agent was lost: no heartbeat for 15 s): look at production',
      ],
    });
    const lines = text({ status: 'unknown', current, open: [current], holds: ['held by ann: the sale'] });
    expect(lines).toContain('  held by ann: the sale');
    expect(lines.filter((line) => line.includes('#2'))).toHaveLength(1);
    expect(lines.slice(-4)).toEqual([
      'next',
      '  gantry environments settle production --good  it came out well',
      '  gantry environments settle production --bad   it did not',
      '  gantry environments resume production         lets deployments go there again',
    ]);
  });

  it('says what a rollback left, why one failed, and how to go back', () => {
    const failed = deployment(4, {
      status: 'failed',
      reason: 'its verify failed: ./smoke.sh: exit code 22',
      isDisavowed: true,
      late: 'it succeeded',
      forced: 'ann: staging is down',
      commits: { since: 'a'.repeat(40), commits: [], more: false },
    });
    const back = deployment(5, { rollbackOf: 1, run: deployment(1).run });
    const lines = text({ current: failed, history: [back, failed, deployment(1)] });
    expect(lines).toEqual(
      expect.arrayContaining([
        '      its verify failed: ./smoke.sh: exit code 22',
        '      a rollback went back behind it',
        '      its agent said later: it succeeded',
        '  gantry rollback production  goes back to what was verified',
      ]),
    );
    expect(lines.join(' ').replace(/\s+/g, ' ')).toContain('forced by ann: staging is down');
    expect(lines.find((line) => line.startsWith('  #5'))).toMatch(/rollback to #1$/);
  });

  it('shows at most eight commits, and how many more there are', () => {
    const many = (count: number, more: boolean) => ({
      since: 'a'.repeat(40),
      commits: Array.from({ length: count }, () => ({ commit: 'b'.repeat(40), title: 'x'.repeat(200) })),
      more,
    });
    const few = text({ current: deployment(2, { commits: many(9, false) }) });
    expect(few).toEqual(expect.arrayContaining(['      9 new commits:', '        and 1 more']));
    const lots = text({ current: deployment(2, { commits: many(20, true) }) });
    expect(lots).toEqual(expect.arrayContaining(['      more than 20 new commits:', '        and more']));
    expect(lots.filter((line) => line.includes('bbbbbbbbbb'))).toHaveLength(8);
  });

  it('fits 80 columns whatever it is about, and lets no control sequence through', () => {
    const long = 'ünïcode '.repeat(40);
    const hostile = '\u001b]0;title\u0007\u001b[2J';
    const current = deployment(2, {
      status: 'verifying',
      title: long + hostile,
      by: `${hostile}${'b'.repeat(30)}`,
      branch: 'feature/'.repeat(6),
      approvedBy: 'c'.repeat(30),
      forced: long,
      waitingFor: [long],
      late: long,
    });
    const lines = text({
      current,
      open: [current, waiting(3, { title: long })],
      history: [current, deployment(1, { by: 'd'.repeat(60) })],
      holds: [long],
      settings: { ...defaultEnvironmentSettings, differs: Array.from({ length: 50 }, (_, n) => `VAR_${n}`) },
    });
    for (const line of lines) expect(Array.from(line).length, line).toBeLessThanOrEqual(80);
    expect(lines.join('\n')).not.toContain('\u001b');
  });
});

describe('all environments', () => {
  const staging = environment({ environment: 'staging', current: deployment(5) });
  const production = environment({
    settings: { ...defaultEnvironmentSettings, promotesFrom: 'staging' },
    current: deployment(4, { by: 'somebody-with-a-long-name' }),
    open: [waiting(6)],
    status: 'held',
  });

  it('stand in the order in which what is deployed goes through them', () => {
    const canary = environment({
      environment: 'canary',
      settings: { ...defaultEnvironmentSettings, promotesFrom: 'production' },
    });
    const names = inOrder([canary, production, staging]).map((one) => one.environment);
    expect(names).toEqual(['staging', 'production', 'canary']);
  });

  it('are a table that fits 80 columns', () => {
    const lines = environmentTable([production, staging, environment({ environment: 'review' })], plain);
    expect(lines).toEqual([
      'ENVIRONMENT  STATUS  COMMIT      SINCE    BY            RUN       WAITING',
      'review       free    nothing',
      'staging      free    5555555555  3 h ago  ada           aaaaaaaa',
      'production   held    4444444444  3 h ago  somebody-wi…  aaaaaaaa  approval',
    ]);
  });

  it('name their projects where there are several', () => {
    const other = environment({ projectName: 'git.example.org/team/other', current: deployment(1) });
    const lines = environmentTable([staging, other], plain);
    expect(lines[0]).toMatch(/^PROJECT {2}ENVIRONMENT/);
    expect(lines[1]).toMatch(/^app {6}staging/);
    expect(lines[2]).toMatch(/^other {4}production/);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(90);
  });
});

describe('a comparison', () => {
  const names = { left: 'staging', right: 'production' };
  const declared = [{ what: 'secret', name: 'DB_PASSWORD', left: 'a1', right: 'b2' }] as const;

  it('says that two are identical, and what may differ', () => {
    expect(
      diffText({ isIdentical: true, differences: [], declared, left: 5, right: 4 }, names, false),
    ).toEqual(['staging #5 and production #4 are identical', '  may differ, and does: secret DB_PASSWORD']);
  });

  it('names each thing in which they differ', () => {
    const differences = [
      { what: 'commit', name: 'commit', left: '1'.repeat(40), right: '2'.repeat(40) },
      { what: 'image', name: 'registry/app', left: `sha256:${'3'.repeat(64)}`, right: null },
      { what: 'step', name: 'migrate', left: 'step 1', right: 'step 2' },
      { what: 'env', name: 'URL', left: '4'.repeat(64), right: '5'.repeat(64) },
    ] as const;
    expect(
      diffText({ isIdentical: false, differences, declared: [], left: 5, right: 4 }, names, false),
    ).toEqual([
      'staging #5 and production #4 are different',
      '                          staging       production',
      '  commit                  111111111111  222222222222',
      '  image     registry/app  333333333333  none',
      '  step      migrate       step 1        step 2',
      '  variable  URL           444444444444  555555555555',
    ]);
  });
});

it('lines are broken at spaces, and a word that is longer stands alone', () => {
  expect(wrapped('one two three', 7)).toEqual(['one two', 'three']);
  expect(wrapped('a incomprehensible b', 6)).toEqual(['a', 'incomprehensible', 'b']);
  expect(wrapped('', 6)).toEqual(['']);
});
