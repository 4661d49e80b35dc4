/** What flags say of an environment, and what they leave alone. */
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  addSettingsOptions,
  settingsFrom,
  type SettingsFlags,
} from '../../../../coordinator/cli/environments/settings-flags.js';
import type { EnvironmentSettings } from '../../../../shared/wire/gen/gantry/v1/EnvironmentSettings.js';

function said(...args: readonly string[]): EnvironmentSettings {
  const command = addSettingsOptions(new Command()).exitOverride();
  command.parse(args, { from: 'user' });
  return settingsFrom(command.opts<SettingsFlags>());
}

describe('flags of an environment', () => {
  it('say nothing where none is given', () => {
    expect(said()).toEqual({});
  });

  it('say all that there is', () => {
    expect(
      said(
        ...['--url', 'https://example.org', '--approvers', 'ann, bob', '--not-author'],
        ...['--branches', 'main,release/{1,2}', '--promotes-from', 'staging', '--differs', 'URL,DB_PASSWORD'],
        ...['--rolls-back', '--verify', './smoke.sh a,b', '--verify', 'true'],
        ...['--notify', 'ops@example.org', '--notify', 'webhook:chat'],
      ),
    ).toEqual({
      url: 'https://example.org',
      approval: { setApprovers: true, approvers: ['ann', 'bob'], notAuthor: true },
      setBranches: true,
      branches: ['main', 'release/{1,2}'],
      promotesFrom: 'staging',
      setDiffers: true,
      differs: ['URL', 'DB_PASSWORD'],
      rollsBack: true,
      setVerify: true,
      verify: ['./smoke.sh a,b', 'true'],
      setNotify: true,
      notify: ['ops@example.org', 'webhook:chat'],
    });
  });

  it('take away', () => {
    expect(
      said('--url', '', '--branches', '', '--verify', '', '--promotes-from', '', '--no-rolls-back'),
    ).toEqual({
      url: '',
      setBranches: true,
      branches: [],
      promotesFrom: '',
      rollsBack: false,
      setVerify: true,
      verify: [],
    });
    expect(said('--no-approval')).toEqual({ approval: { none: true } });
    expect(said('--no-not-author')).toEqual({ approval: { notAuthor: false } });
    expect(said('--approvers', '')).toEqual({ approval: { setApprovers: true, approvers: [] } });
  });

  it('demand an approval of whoever may deploy', () => {
    expect(said('--approval')).toEqual({ approval: {} });
  });

  it('do not contradict each other', () => {
    expect(() => said('--no-approval', '--approvers', 'ann')).toThrow(/nobody approves/);
    expect(() => said('--no-approval', '--not-author')).toThrow(/nobody approves/);
  });
});
