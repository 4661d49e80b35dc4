import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTestImage } from '../support/images.js';
import { agentMain, commitAll, gantryMain, runProgram } from '../support/installation.js';
import { makeNetwork, type Machine, type Network } from '../support/netns.js';

/**
 * The README's section "More machines", word for word: its blocks of commands are read from the file and run, each on
 * the machine that its first line names, in network namespaces that reach each other over a bridge alone.
 */
interface Block {
  readonly machine: 'server' | 'build' | 'laptop';
  /** In a terminal of its own. */
  readonly stays: boolean;
  readonly script: string;
}

const readme = join(import.meta.dirname, '..', '..', 'README.md');

async function blocksOfReadme(): Promise<readonly Block[]> {
  const text = await readFile(readme, 'utf8');
  const section = /<!-- more-machines -->(.*)<!-- \/more-machines -->/s.exec(text)?.[1];
  if (section === undefined)
    throw new Error(`${readme} has no section between <!-- more-machines --> markers`);
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = '']) => {
    const where = /^# on (the server|each build machine|your own machine)\b(.*)/.exec(script);
    if (where === null) throw new Error(`the first line does not say on which machine:\n${script}`);
    const machine =
      where[1] === 'the server' ? 'server' : where[1] === 'your own machine' ? 'laptop' : 'build';
    return { machine, stays: (where[2] ?? '').includes('in a terminal of its own'), script };
  });
}

/** What a daemon says when it is ready. */
function readyWords(script: string): string | RegExp {
  if (script.includes('nats-server -c')) return 'Server is ready';
  if (script.includes('gantry storage')) return /storage (?:listens|is ready)/;
  if (script.includes('gantry-agent')) return 'agent ready';
  return '"ready"';
}

const pipeline = `image: gantry-test/busybox
stages:
  left:
    steps: &steps
      - ip addr show | grep -q 'inet 10.0.0' && echo inside || echo apart
      - head -c 3000000 /dev/urandom > big.bin; mkdir -p many; for i in 1 2 3 4 5; do echo "file $i" > many/$i.txt; done
      - sleep 1
    artifacts: { big: big.bin, many: many/** }
  right:
    steps: *steps
  after:
    needs: [left]
    steps: [cat many/3.txt]
`;

/** Programs as they are called in the README; scp between machines whose homes are directories here. */
async function programs(dir: string): Promise<string> {
  const bin = join(dir, 'bin');
  await mkdir(bin);
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(bin, name), `#!/bin/bash\n${text}\n`);
    await chmod(join(bin, name), 0o755);
  };
  await put('gantry', `exec '${process.execPath}' '${gantryMain}' "$@"`);
  await put('gantry-agent', `exec '${process.execPath}' '${agentMain}' "$@"`);
  await put(
    'scp',
    'files=(); for one in "${@:1:$#-1}"; do files+=("$SERVER_HOME/${one#10.0.0.1:}"); done\n' +
      'exec cp "${files[@]}" "${@: -1}"',
  );
  return bin;
}

let work: string;
let bin: string;

beforeAll(async () => {
  await ensureTestImage('busybox');
  work = await mkdtemp(join(tmpdir(), 'gantry-machines-'));
  bin = await programs(work);
});
afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

async function networkOf(addresses: Readonly<Record<string, string>>): Promise<Network> {
  const made = await makeNetwork(addresses, () => ({
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    // The images of these tests are nowhere but here.
    GANTRY_LOCAL_IMAGES: '*',
  }));
  return made;
}

/** Everything of the section in its order; daemons are waited for as a person would. */
async function follow(
  blocks: readonly Block[],
  on: (block: Block) => readonly Machine[],
  serverHome: string,
): Promise<string> {
  const env = { SERVER_HOME: serverHome };
  let last = '';
  for (const block of blocks) {
    const { script, stays } = block;
    if (stays) {
      const started = on(block).map((machine) => machine.start(script, env));
      for (const daemon of started) await daemon.says(readyWords(script), 60_000);
      continue;
    }
    for (const machine of on(block)) {
      const isLaptop = block.machine === 'laptop';
      const options = isLaptop ? { cwd: await projectOf(machine) } : {};
      const finished = await machine.run(script, { env, timeoutMs: 120_000, ...options });
      expect(finished.code, `${machine.name}:\n${script}\n${finished.stdout}\n${finished.stderr}`).toBe(0);
      last = finished.stdout + finished.stderr;
    }
  }
  return last;
}

async function projectOf(machine: Machine): Promise<string> {
  const dir = join(machine.home, 'project');
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, '.gantry.yml'), pipeline);
  await commitAll(dir, 'first commit');
  return dir;
}

interface Shown {
  readonly run: string;
  readonly status: string;
  readonly stages: readonly { readonly attempts: readonly { readonly agentName: string }[] }[];
}

/** What the person at the laptop sees afterwards. `exports`: the block's first lines, which set the environment. */
async function checkRun(laptop: Machine, exports: string, words: string): Promise<void> {
  const cwd = join(laptop.home, 'project');
  const gantry = async (command: string): Promise<string> => {
    const finished = await laptop.run(`${exports}\n${command}`, { cwd });
    expect(finished.code, `${command}\n${finished.stdout}\n${finished.stderr}`).toBe(0);
    return finished.stdout;
  };
  expect(words).toContain('big.bin');
  const shown = JSON.parse(await gantry('gantry show --json')) as Shown;
  expect(shown.status).toBe('succeeded');
  const agents = shown.stages.flatMap((stage) => stage.attempts.map((attempt) => attempt.agentName));
  expect(agents).toHaveLength(3);
  expect([...new Set(agents)].sort()).toEqual(['build-1', 'build-2']);
  // By presigned URLs, from a third machine.
  await gantry(`gantry artifacts get ${shown.run} left -o left`);
  expect(await readFile(join(cwd, 'left', 'many', '5.txt'), 'utf8')).toBe('file 5\n');
  expect((await readFile(join(cwd, 'left', 'big.bin'))).length).toBe(3_000_000);
  expect(await gantry(`gantry logs ${shown.run} after 1 --raw`)).toBe('file 3\n');
  // A step's network is Docker's, not the machine's that the agent runs on.
  expect(await gantry(`gantry logs ${shown.run} left 1 --raw`)).toBe('apart\n');
  expect(await gantry('gantry doctor --json || true')).toContain(
    '"name":"coordinator: storage","level":"ok"',
  );
}

const exportsOf = (blocks: readonly Block[]): string => {
  const script = blocks.find((block) => block.machine === 'laptop')?.script ?? '';
  return script
    .split('\n')
    .filter((line) => line.startsWith('export '))
    .join('\n');
};

describe('the section of the README', () => {
  it('works word for word: one server, two build machines, one’s own', async () => {
    const blocks = await blocksOfReadme();
    const network = await networkOf({
      server: '10.0.0.1',
      'build-1': '10.0.0.11',
      'build-2': '10.0.0.12',
      laptop: '10.0.0.100',
    });
    try {
      const server = network.machine('server');
      const builds = ['build-1', 'build-2'].map((name) => network.machine(name));
      const laptop = network.machine('laptop');
      const on = (block: Block): readonly Machine[] =>
        block.machine === 'server' ? [server] : block.machine === 'laptop' ? [laptop] : builds;
      const words = await follow(blocks, on, server.home);
      await checkRun(laptop, exportsOf(blocks), words);
      // Who does not know the authority is not talked into anything.
      const stranger = await laptop.run(
        'GANTRY_COORDINATOR=https://10.0.0.1:7420 GANTRY_TOKEN=x gantry runs',
      );
      expect(stranger.code).toBe(3);
      expect(stranger.stdout + stranger.stderr).toMatch(/certificate/);
      const lost = laptop.start('gantry-agent --coordinator 10.0.0.1:7420 --executor host --token x');
      await lost.says('certificate');
      // Nor is anything there for one who speaks without TLS.
      const plain = await laptop.run('GANTRY_COORDINATOR=http://10.0.0.1:7420 GANTRY_TOKEN=x gantry runs');
      expect(plain.code, plain.stderr).toBe(3);
      expect(plain.stderr).toMatch(/TLS|--ca/);
    } finally {
      await network.dispose();
    }
  });

  it('works with each daemon on a machine of its own, without a certificate, as it says', async () => {
    const home = '10.0.0.2:7422 10.0.0.3:7423 10.0.0.4:7420'.split(' ');
    const blocks = (await blocksOfReadme()).map(({ script, ...block }) => {
      let text = script
        .replace(/^openssl .*\\\n.*\n/m, '')
        .replace(/(nats init .*) --tls-cert \S+ --tls-key \S+/, '$1')
        .replace(/--tls-cert \S+ --tls-key \S+(?: --tls-ca \S+)?/, '--insecure')
        .replace(/--ca \S+/, '--insecure')
        .replace(/ GANTRY_CA=\S+/, '')
        .replace('GANTRY_COORDINATOR=', 'GANTRY_COORDINATOR=http://')
        .replaceAll('tls://', 'nats://')
        .replaceAll('https://', 'http://')
        .replaceAll(' 10.0.0.1:gantry.pem', '');
      for (const address of home) text = text.replaceAll(`10.0.0.1:${address.split(':')[1] ?? ''}`, address);
      return { ...block, script: text };
    });
    expect(blocks.map(({ script }) => script).join('')).not.toMatch(/\.pem|tls/);
    const network = await networkOf({
      nats: '10.0.0.2',
      storage: '10.0.0.3',
      server: '10.0.0.4',
      'build-1': '10.0.0.11',
      'build-2': '10.0.0.12',
      laptop: '10.0.0.100',
    });
    try {
      const server = network.machine('server');
      const laptop = network.machine('laptop');
      // As the section says: each daemon where its address is; the files that they share are in one place here.
      const at = (name: string): Machine => {
        const machine = network.machine(name);
        const into = `cd '${server.home}'\n`;
        return {
          ...machine,
          start: (script, env) => machine.start(into + script, env),
        };
      };
      const on = ({ machine, script }: Block): readonly Machine[] => {
        if (machine === 'laptop') return [laptop];
        if (machine === 'build') return [network.machine('build-1'), network.machine('build-2')];
        if (script.includes('nats-server -c')) return [at('nats')];
        if (script.includes('gantry storage')) return [at('storage')];
        return [server];
      };
      const words = await follow(blocks, on, server.home);
      await checkRun(laptop, exportsOf(blocks), words);
    } finally {
      await network.dispose();
    }
  });
});

describe('`gantry up` off loopback', () => {
  it('serves agents and people of other machines with the certificate it was given', async () => {
    const [certificate] = await blocksOfReadme();
    const openssl = (certificate?.script ?? '').split('\n').slice(0, 3).join('\n');
    expect(openssl).toContain('openssl req');
    const network = await networkOf({ server: '10.0.0.1', 'build-1': '10.0.0.11', laptop: '10.0.0.100' });
    try {
      const server = network.machine('server');
      const build = network.machine('build-1');
      const laptop = network.machine('laptop');
      const ok = async (machine: Machine, script: string, cwd = machine.home): Promise<string> => {
        const finished = await machine.run(script, { cwd, env: { SERVER_HOME: server.home } });
        expect(finished.code, `${script}\n${finished.stdout}\n${finished.stderr}`).toBe(0);
        return finished.stdout;
      };
      await ok(server, openssl);
      const tls = '--tls-cert gantry.pem --tls-key gantry.key --tls-ca gantry.pem';
      const up = server.start(`exec gantry up --host 10.0.0.1 --agents 0 --data up ${tls} --json`);
      await up.says('"ready":true', 90_000);
      await ok(server, 'gantry agents token > join.token');
      await ok(build, 'scp 10.0.0.1:gantry.pem 10.0.0.1:join.token .');
      const agent = build.start(
        'gantry-agent --coordinator 10.0.0.1:7420 --ca gantry.pem --token-file join.token',
      );
      await agent.says('agent ready');
      await ok(laptop, 'scp 10.0.0.1:gantry.pem 10.0.0.1:join.token .');
      const dir = await projectOf(laptop);
      // The context of `up` holds the token of its owner.
      const contexts = JSON.parse(
        await readFile(join(server.home, '.config', 'gantry', 'contexts.json'), 'utf8'),
      ) as { readonly contexts: Readonly<Record<string, { readonly token: string }>> };
      const token = Object.values(contexts.contexts)[0]?.token ?? '';
      const exports = `export GANTRY_COORDINATOR=10.0.0.1:7420 GANTRY_CA=~/gantry.pem GANTRY_TOKEN=${token}`;
      const said = await ok(laptop, `${exports}\ngantry submit --follow`, dir);
      const run = /run ([a-z2-7]{8,16})/.exec(said)?.[1] ?? '';
      await ok(laptop, `${exports}\ngantry artifacts get ${run} left -o out`, dir);
      expect(await readFile(join(dir, 'out', 'many', '1.txt'), 'utf8')).toBe('file 1\n');
    } finally {
      await network.dispose();
    }
  });
});

describe('off loopback without a certificate', () => {
  const gantry = (...args: readonly string[]) => runProgram(process.execPath, [gantryMain, ...args]);

  it.each([
    ['coordinator', ['coordinator', '--grpc-listen', '10.0.0.1:7420'], 'tokens, code and logs'],
    ['storage', ['storage', '--listen', '10.0.0.1:7423'], 'what is stored'],
    ['up', ['up', '--host', '10.0.0.1'], 'tokens, code and logs'],
  ])('%s refuses and says why and what to do', async (name, args, what) => {
    const keys = ['--keys', join(work, 'refused', 'keys')];
    const data = name === 'coordinator' ? [] : ['--data', join(work, 'refused')];
    const finished = await gantry(...args, ...keys, ...data);
    expect(finished.code, finished.stderr).toBe(2);
    for (const word of [what, 'readable by all', '--tls-cert', '--tls-key', '--insecure'])
      expect(finished.stderr).toContain(word);
  });

  it('a coordinator that listens everywhere must be told its address', async () => {
    const finished = await gantry(
      ...[
        'coordinator',
        '--keys',
        join(work, 'refused', 'keys'),
        '--grpc-listen',
        '0.0.0.0:7420',
        '--insecure',
      ],
    );
    expect(finished.code, finished.stderr).toBe(2);
    expect(finished.stderr).toContain('--advertise is missing');
  });
});

describe('the examples of environment files', () => {
  const examples = join(import.meta.dirname, '..', '..', 'deploy', 'systemd');

  it.each([
    ['coordinator', [gantryMain, 'coordinator', '--help']],
    ['storage', [gantryMain, 'storage', '--help']],
    ['agent', [agentMain, '--help']],
  ])('%s.env.example names only what the program reads', async (name, command) => {
    const help = (await runProgram(process.execPath, command)).stdout.replace(/\s+/g, ' ');
    const text = await readFile(join(examples, `${name}.env.example`), 'utf8');
    const variables = [...text.matchAll(/^#?(GANTRY_[A-Z0-9_]+)=/gm)].map(([, variable = '']) => variable);
    expect(variables.length).toBeGreaterThan(4);
    for (const variable of variables) {
      // The agent's help says once how a flag becomes a variable.
      const flag = `--${variable.slice('GANTRY_'.length).toLowerCase().replaceAll('_', '-')}`;
      expect(help).toContain(name === 'agent' ? flag : variable);
    }
  });
});
