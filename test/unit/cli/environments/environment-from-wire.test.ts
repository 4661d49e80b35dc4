/** What scripts get is what the core said: through the service's messages, and through protobuf's bytes. */
import { describe, expect, it } from 'vitest';
import {
  diffFromWire,
  environmentFromWire,
} from '../../../../coordinator/cli/environments/environment-from-wire.js';
import { environmentMessage } from '../../../../coordinator/api/environment-message.js';
import type { NewCommits } from '../../../../coordinator/api/new-commits.js';
import { parseCommitId, parseSha256 } from '../../../../shared/model/ids.js';
import { loadContract } from '../../../../shared/wire/grpc-contract.js';
import { runId } from '../../scheduler/ids.js';
import { deployment, environment, waiting } from './sample.js';

const { Show } = loadContract().Environments.service;
const commit = parseCommitId('c'.repeat(40))!;
const commits: NewCommits = { since: commit, commits: [{ commit, title: 'ü' }], more: true };

const full = environment({
  status: 'unknown',
  settings: {
    url: 'https://example.org',
    approval: { by: ['ann'], notAuthor: true },
    branches: ['main'],
    promotesFrom: 'staging',
    differs: ['URL'],
    rollsBack: true,
    verify: ['true'],
    notify: ['ops@example.org'],
  },
  holds: ['held by ann'],
  current: deployment(2, {
    status: 'unknown',
    approvedBy: 'ann',
    forced: 'ann: why',
    late: 'late',
    rollbackOf: 1,
    isDisavowed: true,
    commits,
    record: {
      commit,
      artifacts: [{ name: 'build/app', sha256: parseSha256('a'.repeat(64))!, run: runId(1) }],
      images: [{ name: 'app', digest: `sha256:${'b'.repeat(64)}` }],
      steps: [{ name: 'deploy', sha256: parseSha256('d'.repeat(64))! }],
      env: [{ name: 'URL', hash: 'e' }],
      secrets: [{ name: 'KEY', hash: 'f' }],
      verifies: true,
    },
    commit,
  }),
  lastVerified: deployment(1, { commits: null }),
  open: [waiting(3, { commits: null, branch: null })],
  history: [deployment(1, { commits: null })],
});

describe('an environment', () => {
  it.each([
    ['with everything', full],
    ['with nothing', environment()],
  ])('%s comes out as it went in', (_what, sent) => {
    const { projectName, ...view } = sent;
    const message = environmentMessage(projectName, view, new Map([[2, commits]]));
    const bytes = Show.responseSerialize(message);
    expect(environmentFromWire(Show.responseDeserialize(bytes))).toEqual(sent);
  });
});

it('a comparison that says nothing is one of nothing', () => {
  expect(diffFromWire({})).toEqual({ isIdentical: false, differences: [], declared: [], left: 0, right: 0 });
  const differences = [{ what: 'env', name: 'URL', left: '', right: 'a' }];
  expect(diffFromWire({ differences }).differences).toEqual([
    { what: 'env', name: 'URL', left: null, right: 'a' },
  ]);
});
