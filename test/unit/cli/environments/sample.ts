/** An environment as the CLI has it, and its parts. */
import type {
  ShownDeployment,
  ShownEnvironment,
} from '../../../../coordinator/cli/environments/environment-from-wire.js';
import { defaultEnvironmentSettings } from '../../../../shared/model/environment.js';
import { parseCommitId, parseProjectId } from '../../../../shared/model/ids.js';
import { runId } from '../../scheduler/ids.js';

export const now = Date.parse('2026-11-27T20:00:00.000Z');
const commitOf = (n: number) => parseCommitId(String(n).repeat(40))!;

export function deployment(n: number, changes: Partial<ShownDeployment> = {}): ShownDeployment {
  const commit = changes.commit ?? commitOf(n);
  return {
    deployment: n,
    status: 'verified',
    run: runId(n),
    stage: 3,
    commit,
    title: 'Add the login',
    branch: 'main',
    by: 'ada',
    approvedBy: null,
    rollbackOf: null,
    forced: null,
    requestedAt: '2026-11-27T16:59:00.000Z',
    beganAt: '2026-11-27T17:00:00.000Z',
    endedAt: '2026-11-27T17:01:00.000Z',
    waitingFor: [],
    reason: 'it succeeded',
    late: null,
    binding: null,
    isDisavowed: false,
    record: { commit, artifacts: [], images: [], steps: [], env: [], secrets: [], verifies: false },
    commits: { since: commitOf(n - 1), commits: [{ commit, title: 'Add the login' }], more: false },
    ...changes,
  };
}

export const waiting = (n: number, changes: Partial<ShownDeployment> = {}): ShownDeployment =>
  deployment(n, {
    status: 'approval',
    beganAt: null,
    endedAt: null,
    reason: null,
    requestedAt: '2026-11-27T19:55:00.000Z',
    waitingFor: ['it waits for the approval of bob (`gantry approve`)'],
    binding: { record: 1, settings: 2 },
    ...changes,
  });

export const environment = (changes: Partial<ShownEnvironment> = {}): ShownEnvironment => ({
  project: parseProjectId('a'.repeat(16))!,
  projectName: 'git.example.org/team/app',
  environment: 'production',
  status: 'free',
  settings: defaultEnvironmentSettings,
  current: null,
  lastVerified: null,
  holds: [],
  open: [],
  history: [],
  ...changes,
});
