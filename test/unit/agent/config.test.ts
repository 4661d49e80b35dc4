import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, type AgentConfig } from '../../../agent/config.js';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-config-'));
  await writeFile(join(directory, 'token'), 'secret\n');
  await writeFile(join(directory, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const parse = (argv: readonly string[], env: Record<string, string> = {}) => parseConfig(argv, env, '1.2.3');

function configOf(argv: readonly string[], env: Record<string, string> = {}): AgentConfig {
  const parsed = parse(argv, env);
  if (parsed.kind !== 'config') throw new Error(JSON.stringify(parsed));
  return parsed.config;
}

describe('the configuration of an agent', () => {
  it('has a default for everything but a token', () => {
    expect(configOf([], { XDG_STATE_HOME: '/state' })).toMatchObject({
      coordinator: '127.0.0.1:7420',
      trust: { kind: 'plain' },
      token: undefined,
      labels: [],
      slots: 1,
      executor: 'docker',
      ignoreImage: false,
      localImages: [],
      dataDirectory: '/state/gantry-agent',
      minFreeBytes: 2e9,
      memoryBytes: undefined,
      pids: 4096,
    });
  });

  it('prefers flags to the environment', () => {
    const env = {
      GANTRY_SLOTS: '3',
      GANTRY_LABEL: 'a, b=c',
      GANTRY_EXECUTOR: 'host',
      GANTRY_IGNORE_IMAGE: 'true',
    };
    expect(configOf([], env)).toMatchObject({
      slots: 3,
      labels: ['a', 'b=c'],
      executor: 'host',
      ignoreImage: true,
    });
    expect(configOf(['--slots', '4', '--label', 'x', '--label', 'y'], env)).toMatchObject({
      slots: 4,
      labels: ['x', 'y'],
    });
  });

  it('reads the token from a file, and its flag before that of the environment', () => {
    const file = join(directory, 'token');
    expect(configOf(['--token-file', file]).token).toBe('secret');
    expect(configOf(['--token-file', file], { GANTRY_TOKEN: 'other' }).token).toBe('secret');
    expect(configOf([], { GANTRY_TOKEN: 'other' }).token).toBe('other');
  });

  it('demands TLS of a coordinator on another machine, unless told otherwise', () => {
    const far = ['--coordinator', 'build.example.org:7420'];
    expect(configOf(far).trust).toEqual({ kind: 'system-roots' });
    expect(configOf([...far, '--insecure']).trust).toEqual({ kind: 'plain' });
    expect(configOf([...far, '--ca', join(directory, 'ca.pem')]).trust).toMatchObject({ kind: 'ca' });
    expect(configOf(['--coordinator', '[::1]:7420']).trust).toEqual({ kind: 'plain' });
  });

  it('reports all that is wrong together', () => {
    const parsed = parse([
      ...['--coordinator', 'nowhere', '--slots', '0', '--label', 'two words', '--executor', 'kube'],
      ...['--ignore-image', '--repo-root', 'relative', '--min-free', 'much', '--cpus', '-1', '--pids', '3'],
      ...['--ca', '/no/such/file', '--log-level', 'loud', '--token', 'a', '--token-file', '/no/such/token'],
    ]);
    expect(parsed.kind).toBe('wrong');
    if (parsed.kind !== 'wrong') return;
    const flags = parsed.problems.map((problem) => problem.split(':')[0]).sort();
    expect(flags).toEqual(
      [
        ...['--ca', '--coordinator', '--cpus', '--executor', '--ignore-image', '--label', '--log-level'],
        ...['--min-free', '--pids', '--repo-root', '--slots', '--token', '--token-file'],
      ].sort(),
    );
  });

  it('understands sizes as people write them', () => {
    expect(configOf(['--min-free', '1.5GiB', '--memory', '500MB', '--log-limit', '10m'])).toMatchObject({
      minFreeBytes: 1.5 * 1024 ** 3,
      memoryBytes: 5e8,
      logLimitBytes: 1e7,
    });
  });

  it('answers help with an example and an unknown flag with its name', () => {
    const help = parse(['--help']);
    expect(help).toMatchObject({
      kind: 'said',
      text: expect.stringContaining('gantry-agent --coordinator') as string,
    });
    expect(parse(['--version'])).toMatchObject({ kind: 'said', text: '1.2.3\n' });
    expect(parse(['--slot', '2'])).toMatchObject({
      kind: 'wrong',
      problems: [expect.stringContaining("'--slot'")],
    });
    expect(parse(['extra']).kind).toBe('wrong');
  });
});
