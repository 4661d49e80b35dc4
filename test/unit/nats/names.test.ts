import { expect, test } from 'vitest';

import { serverConfig } from '../../../coordinator/fleet/server-config.js';
import { compareVersions } from '../../../coordinator/journal/nats-streams.js';
import { natsNames } from '../../../shared/nats/names.js';
import { agentId, runId } from '../../support/ids.js';

test('names of another prefix never meet those of the default one', () => {
  const [a, b] = [natsNames('gantry'), natsNames('ci')];
  expect(a.journalStream).toBe('JOURNAL');
  expect(b.journalStream).toBe('ci_JOURNAL');
  expect(a.agentSubject(agentId(1), 'assign')).toBe(`gantry.agent.${agentId(1)}.assign`);
  expect(b.logsSubject({ run: runId(1), stage: 2, attempt: 3 })).toBe(`ci.logs.${runId(1)}.2.3`);
});

test.each(['', 'a.b', '*', '>', 'a b', 'A', 'ü', 'x'.repeat(33), '$JS'])('%j is no prefix', (prefix) => {
  expect(() => natsNames(prefix)).toThrow(/prefix/);
});

test('versions are compared by their numbers', () => {
  const sorted = ['2.8.4', '2.9.0', '2.9.9', '2.9.10', '2.9.18-beta', '2.9.18', '2.10.0', '2.10.27', '3.0.0'];
  for (const [index, version] of sorted.entries())
    for (const [other, than] of sorted.entries())
      expect(Math.sign(compareVersions(version, than))).toBe(
        version.startsWith('2.9.18') && than.startsWith('2.9.18') ? 0 : Math.sign(index - other),
      );
});

test('paths and addresses cannot break out of the configuration of the server', () => {
  const identity = { operatorJwt: 'o', systemJwt: 's', accountJwt: 'a', systemKey: 'S', accountKey: 'A' };
  const text = serverConfig({ listenHost: '::1', port: 1, storeDir: '/a "b\\c' }, identity);
  expect(text).toContain('listen: "[::1]:1"');
  expect(text).toContain('store_dir: "/a \\"b\\\\c"');
  expect(() => serverConfig({ listenHost: 'x', port: 1, storeDir: 'a\nb' }, identity)).toThrow(/line break/);
});
