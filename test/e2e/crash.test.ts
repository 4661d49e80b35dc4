import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ensureTestImage } from '../support/images.js';
import { agentMain, cleanEnv, makeTree, runProgram, startUp, type Up } from '../support/installation.js';

/**
 * Promises 1, 2, 4 and 5: daemons are killed with -9 in the middle of a stage; nothing is lost, nothing runs twice.
 * `up` starts a daemon again when it dies.
 */
interface Shown {
  readonly status: string;
  readonly stages: readonly {
    readonly status: string;
    readonly attempts: readonly {
      readonly attempt: number;
      readonly agentName: string;
      readonly status: string;
    }[];
  }[];
}

const lines = 300;
/** Prints numbered lines for about six seconds; the container's id shows whether it was disturbed. */
const counting = `image: gantry-test/busybox
stages:
  count:
    steps:
      - i=1; while [ $i -le ${lines} ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done
      - echo second step
`;
const expected = Array.from({ length: lines }, (_, n) => `line ${n + 1}\n`).join('');

let up: Up;
let dir: string;

const show = async (run: string): Promise<Shown> => (await up.json(['show', run])) as Shown;

async function submit(): Promise<string> {
  return ((await up.json(['submit', dir])) as { run: string }).run;
}

/** Waits until the step has printed something, and gives the ids of the run's containers. */
async function inTheMiddle(run: string): Promise<string> {
  await eventually(
    'the step prints',
    async () => (await up.gantry(['logs', run, 'count', '1', '--raw'])).stdout.includes('line 20\n'),
    60_000,
  );
  return boxes(run);
}

/** Of this run: others may use the same daemon. */
async function boxes(run: string): Promise<string> {
  const columns = '{{.Label "gantry.attempt"}} {{.ID}}';
  const listed = await runProgram('docker', ['ps', '--no-trunc', '--format', columns]);
  return listed.stdout
    .split('\n')
    .filter((line) => line.startsWith(`${run}/`))
    .join('\n');
}

async function kill(name: string): Promise<void> {
  const daemon = (await up.daemons()).find((one) => one.name === name);
  if (daemon === undefined) throw new Error(`there is no daemon ${name}`);
  process.kill(daemon.pid, 'SIGKILL');
}

/** A command that finds no coordinator says so at once (exit code 3); `up` starts it again within a second. */
async function coordinatorIsBack(): Promise<void> {
  await eventually('a coordinator answers', async () => (await up.gantry(['runs'])).code === 0, 30_000);
}

async function endedWell(run: string): Promise<void> {
  await coordinatorIsBack();
  const waited = await up.gantry(['wait', run], { timeoutMs: 120_000 });
  expect(waited.code, waited.stdout + waited.stderr).toBe(0);
  expect((await up.gantry(['logs', run, 'count', '1', '--raw'])).stdout).toBe(expected);
  expect((await up.gantry(['logs', run, 'count', '2', '--raw'])).stdout).toBe('second step\n');
}

beforeAll(async () => {
  await ensureTestImage('busybox');
  up = await startUp(['--agents', '1', '--slots', '1']);
  dir = await makeTree({ '.gantry.yml': counting });
});
afterAll(async () => {
  await up.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('kill -9 in the middle of a stage', () => {
  it.each(['coordinator', 'agent-1', 'nats', 'storage'])(
    'of %s: the container is not disturbed, every line is there once, one attempt succeeds',
    async (name) => {
      const run = await submit();
      const before = await inTheMiddle(run);
      expect(before).not.toBe('');
      await kill(name);
      await eventually('the same container still runs', async () => (await boxes(run)) === before, 5_000);
      await endedWell(run);
      const shown = await show(run);
      expect(shown.stages[0]?.attempts.map((attempt) => attempt.status)).toEqual(['succeeded']);
    },
  );

  it('of coordinator and agent together', async () => {
    const run = await submit();
    await inTheMiddle(run);
    await Promise.all([kill('coordinator'), kill('agent-1')]);
    await endedWell(run);
    expect((await show(run)).stages[0]?.attempts).toHaveLength(1);
  });

  it('of the coordinator right after a submit was answered: the run is not lost', async () => {
    const runs = await Promise.all([submit(), submit()]);
    await kill('coordinator');
    for (const run of runs) await endedWell(run);
  });
});

/** The second signal ends what the first would hand over: boxes, and the agent's network. */
async function endAgent(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  let gone = false;
  child.once('exit', () => (gone = true));
  child.kill('SIGTERM');
  // Two that wait at once count as one, so the second follows until the agent is gone.
  await eventually(
    'the agent ends',
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      if (!gone) child.kill('SIGTERM');
      return gone;
    },
    30_000,
  );
}

describe('an agent that stays away', () => {
  let agent: ChildProcess | undefined;
  let data: string;

  afterAll(async () => {
    if (agent !== undefined) await endAgent(agent);
    await rm(data, { recursive: true, force: true });
  });

  it('loses its stage to another one, and is told to stop it when it comes back', async () => {
    data = await mkdtemp(join(tmpdir(), 'gantry-agent-'));
    const token = ((await up.json(['agents', 'token', '--label', 'special'])) as { token: string }).token;
    const start = (): ChildProcess =>
      spawn(
        process.execPath,
        [
          agentMain,
          '--coordinator',
          up.grpc,
          '--data',
          data,
          '--name',
          'stray',
          '--label',
          'special',
          '--local-images',
          '*',
        ],
        { env: cleanEnv({ GANTRY_TOKEN: token, HOME: data }), stdio: 'ignore' },
      );
    agent = start();
    const tree = await makeTree({
      '.gantry.yml': counting.replace('  count:\n', '  count:\n    agents: [special]\n'),
    });
    try {
      const run = ((await up.json(['submit', tree])) as { run: string }).run;
      await inTheMiddle(run);
      agent.kill('SIGKILL');
      // Nobody else offers the label: it waits, and says so. Then a second one comes.
      const second = await startSecond(token);
      try {
        await endedWell(run);
        const attempts = (await show(run)).stages[0]?.attempts ?? [];
        expect(attempts.map((one) => `${one.agentName} ${one.status}`)).toEqual([
          'stray lost',
          'second succeeded',
        ]);
        agent = start();
        await eventually('the stray box is gone', async () => (await boxes(run)) === '', 60_000);
      } finally {
        await second.stop();
      }
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  });

  async function startSecond(token: string): Promise<{ stop(): Promise<void> }> {
    const home = await mkdtemp(join(tmpdir(), 'gantry-agent-'));
    const child = spawn(
      process.execPath,
      [
        agentMain,
        '--coordinator',
        up.grpc,
        '--data',
        home,
        '--name',
        'second',
        '--label',
        'special',
        '--local-images',
        '*',
      ],
      { env: cleanEnv({ GANTRY_TOKEN: token, HOME: home }), stdio: 'ignore' },
    );
    return {
      stop: async () => {
        await endAgent(child);
        await rm(home, { recursive: true, force: true });
      },
    };
  }
});
