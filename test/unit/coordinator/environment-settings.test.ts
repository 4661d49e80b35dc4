/** What people say of an environment: what is left out stays, and what nobody could mean is refused with what to do. */
import { describe, expect, it } from 'vitest';
import { changedSettings, settingsMessage } from '../../../coordinator/api/environment-settings.js';
import { defaultEnvironmentSettings, type EnvironmentSettings } from '../../../shared/model/environment.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import type { EnvironmentSettings__Output } from '../../../shared/wire/gen/gantry/v1/EnvironmentSettings.js';

const users: Readonly<Record<string, string>> = { ann: 'Ann', bob: 'bob' };
const place = {
  project: {
    name: 'example.org/app',
    settings: { ...defaultProjectSettings, webhooks: [{ name: 'chat', url: 'https://example.org/hook' }] },
  },
  userNamed: (name: string) => users[name.toLowerCase()],
};
const changed = (
  message: EnvironmentSettings__Output | undefined,
  before?: EnvironmentSettings,
): EnvironmentSettings => changedSettings(before, message, place);

const full: EnvironmentSettings = {
  url: 'https://example.org',
  approval: { by: ['Ann', 'bob'], notAuthor: true },
  branches: ['main'],
  promotesFrom: 'staging',
  differs: ['URL'],
  rollsBack: true,
  verify: ['./smoke.sh'],
  notify: ['ops@example.org', 'webhook:chat'],
};

describe('settings of an environment', () => {
  it('are the usual ones where nothing is said', () => {
    expect(changed(undefined)).toEqual(defaultEnvironmentSettings);
    expect(changed({})).toEqual(defaultEnvironmentSettings);
  });

  it('keep what a change leaves out', () => {
    expect(changed({}, full)).toEqual(full);
    expect(changed({ rollsBack: false }, full)).toEqual({ ...full, rollsBack: false });
    expect(changed({ approval: { notAuthor: false } }, full).approval).toEqual({
      by: ['Ann', 'bob'],
      notAuthor: false,
    });
  });

  it('come back from a message as they went into it', () => {
    const { url, approval, promotesFrom, ...rest } = settingsMessage(full);
    const said = {
      ...rest,
      url: url ?? '',
      promotesFrom: promotesFrom ?? '',
      approval: { ...approval, setApprovers: true },
      setBranches: true,
      setDiffers: true,
      setVerify: true,
      setNotify: true,
    };
    expect(changed(said as EnvironmentSettings__Output)).toEqual(full);
  });

  it('lose what is said to be empty, and nothing else', () => {
    const { url: _, ...rest } = full;
    expect(changed({ url: '' }, full)).toEqual(rest);
    expect(changed({ promotesFrom: '' }, full)).not.toHaveProperty('promotesFrom');
    expect(changed({ approval: { none: true } }, full)).not.toHaveProperty('approval');
    expect(changed({ setVerify: true }, full).verify).toEqual([]);
    // A list without its flag was not said.
    expect(changed({ verify: ['other'] }, full).verify).toEqual(full.verify);
  });

  it('name users as the directory does', () => {
    const { approval } = changed({ approval: { setApprovers: true, approvers: ['ANN', 'bob', 'bob'] } });
    expect(approval).toEqual({ by: ['Ann', 'bob'], notAuthor: false });
  });

  it.each<[string, EnvironmentSettings__Output, RegExp]>([
    [
      'an unknown approver',
      { approval: { setApprovers: true, approvers: ['zoe'] } },
      /no such user.*users add/,
    ],
    ['no URL', { url: 'example.org' }, /begins with https/],
    ['another kind of URL', { url: 'ftp://example.org' }, /begins with https/],
    ['a URL of two lines', { url: 'https://example.org/\nX=1' }, /begins with https/],
    ['a password in the URL', { url: 'https://a:b@example.org' }, /a user or password/],
    ['a branch that matches nothing', { setBranches: true, branches: ['refs/heads/main'] }, /full name/],
    ['an empty name', { setDiffers: true, differs: [' '] }, /names of variables/],
    ['an empty command', { setVerify: true, verify: [' '] }, /a command/],
    ['no address', { setNotify: true, notify: ['ops'] }, /a mail address, or a webhook/],
    ['an unknown webhook', { setNotify: true, notify: ['webhook:mail'] }, /no such webhook.*projects set/],
    [
      'too many of anything',
      { setDiffers: true, differs: Array.from({ length: 101 }, (_, n) => `V${n}`) },
      /at most 100/,
    ],
  ])('refuse %s', (_what, message, expected) => {
    expect(() => changed(message)).toThrow(expected);
  });
});
