/**
 * Secrets of a project, from `gantry secrets set` to a step and no farther: what a step prints of them is masked, and they are
 * in nothing that is written down, sent on NATS, or shown by Docker or the list of processes.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNatsKeys } from '../../coordinator/fleet/nats-credentials.js';
import { connectNats, type NatsLink } from '../../shared/nats/nats-connection.js';
import { eventually } from '../support/eventually.js';
import { ensureTestImage } from '../support/images.js';
import { makeTree, runProgram, startUp, type Up } from '../support/installation.js';
import { silent } from '../support/nats.js';
import { Remote } from '../support/remote.js';

const token = 's3cr3t/T0ken+with="quotes"&more';
const keyLines = [
  '-----BEGIN TEST KEY-----',
  'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC',
  'BKcwggSjAgEAAoIBAQC7',
  '-----END TEST KEY-----',
];
const key = `${keyLines.join('\n')}\n`;
/** What must be nowhere: the values, and each line of them. */
const hidden = [token, ...keyLines];
const stars = (text: string): string => '*'.repeat(Buffer.byteLength(text));

const forms = `
import base64, json, os, urllib.parse
token, key = os.environ["TOKEN"], os.environ["SIGNING_KEY"]
raw = token.encode()
print("plain", token)
print("json", json.dumps({"v": token}))
print("url", urllib.parse.quote(token, safe=""), urllib.parse.quote_plus(token))
for before in ("", "x", "xx"):
    print("base64", base64.b64encode((before + token).encode()).decode())
print("base64url", base64.urlsafe_b64encode(raw).decode())
print(base64.encodebytes(b"#" * 50 + key.encode() * 2).decode())
print(key, end="")
print("last line")
`;

/** `go` is what the test writes into the workspace when it has seen enough. */
const text = `image: gantry-test/python
stages:
  forms:
    secrets: { TOKEN: TOKEN, SIGNING_KEY: KEY }
    steps:
      - python3 forms.py
      - name: traced
        run: |
          set -x
          : "$TOKEN"
  quiet:
    secrets: [TOKEN]
    steps:
      - echo ready; until [ -e go ]; do sleep 0.05; done; [ \${#TOKEN} = ${token.length} ] && echo "has all of it"
  halves:
    secrets: [TOKEN]
    steps:
      - printf 'one %s' "\${TOKEN:0:12}"; until [ -e go ]; do sleep 0.05; done; printf '%s two\\n' "\${TOKEN:12}"
      - echo "again $TOKEN"
`;

let root: string;
let up: Up;
let remote: Remote;
let link: NatsLink;
const assignments: string[] = [];

beforeAll(async () => {
  await ensureTestImage('python');
  root = await mkdtemp(join(tmpdir(), 'gantry-remotes-'));
  up = await startUp(['--agents', '1', '--slots', '2', '--repo-root', root]);
  remote = await Remote.make(root);
  await remote.commit({ '.gantry.yml': 'on: { branches: [never] }\n' + text, 'forms.py': forms });
  await remote.push();
  await up.json(['projects', 'add', remote.directory, '--poll', '0']);
  const keyFile = join(root, 'key.pem');
  await writeFile(keyFile, key);
  await up.json(['secrets', 'set', 'app', 'TOKEN'], { input: `${token}\n` });
  await up.json(['secrets', 'set', 'app', 'KEY', '--file', keyFile]);
  const { creds } = await loadNatsKeys(up.data);
  link = await connectNats({
    servers: [up.nats],
    auth: { kind: 'creds', text: creds },
    name: 'test',
    log: silent,
  });
  link.nc.subscribe('gantry.agent.>', {
    callback: (_error, message) => assignments.push(Buffer.from(message.data).toString()),
  });
});
afterAll(async () => {
  await link.close();
  await up.stop();
  await rm(root, { recursive: true, force: true });
});

async function submit(stage: string): Promise<string> {
  const args = ['submit', '--repo', remote.directory, '--commit', 'main', '--stage', stage];
  return ((await up.json(args)) as { run: string }).run;
}

const logOf = async (run: string, stage: string, step = '1'): Promise<string> =>
  (await up.gantry(['logs', run, stage, step, '--raw'])).stdout;

/** The container of the run's only stage, once its step has printed this. */
async function inTheMiddle(run: string, stage: string, printed: string): Promise<string> {
  await eventually('the step prints', async () => (await logOf(run, stage)).includes(printed), 60_000);
  const columns = '{{.Label "gantry.attempt"}} {{.ID}}';
  const listed = await runProgram('docker', ['ps', '--no-trunc', '--format', columns]);
  const own = listed.stdout.split('\n').find((line) => line.startsWith(`${run}/`));
  if (own === undefined) throw new Error('no container of the run is there');
  return own.split(' ')[1] ?? '';
}

const go = async (container: string): Promise<void> => {
  const touched = await runProgram('docker', ['exec', container, 'touch', '/workspace/go']);
  expect(touched.code, touched.stderr).toBe(0);
};

const succeeded = async (run: string): Promise<void> => {
  const waited = await up.gantry(['wait', run], { timeoutMs: 120_000 });
  expect(waited.code, `${waited.stdout}${waited.stderr}${(await up.gantry(['show', run])).stdout}`).toBe(0);
};

/** Names of files below a directory that hold any of it. */
async function filesWith(directory: string, texts: readonly string[]): Promise<string> {
  const patterns = texts.flatMap((one) => ['-e', one]);
  return (await runProgram('grep', ['-rlaF', ...patterns, directory])).stdout;
}

const holdsNone = (what: string, text: string): void => {
  for (const secret of hidden) expect(text.includes(secret), `${what} holds ${secret}`).toBe(false);
};

/** Everything that any stream holds. */
async function streams(): Promise<string> {
  const manager = await link.nc.jetstreamManager();
  const found: string[] = [];
  for await (const { config, state } of manager.streams.list()) {
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const message = await manager.streams.getMessage(config.name, { seq }).catch(() => undefined); // deleted
      if (message !== undefined)
        found.push(`${message.subject} ${Buffer.from(message.data).toString('latin1')}`);
    }
  }
  return found.join('\n');
}

async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')), // ended meanwhile
  );
  return lines.join('\n').replaceAll('\0', ' ');
}

describe('gantry secrets', () => {
  it('lists names, who set them and when, and no values', async () => {
    const listed = await up.gantry(['secrets', 'ls', 'app', '--json']);
    expect(JSON.parse(listed.stdout)).toMatchObject({ secrets: [{ name: 'KEY' }, { name: 'TOKEN' }] });
    holdsNone('the list', listed.stdout);
    const audit = await up.gantry(['audit', '--json']);
    expect(audit.stdout).toContain('secret.set');
    holdsNone('the audit', audit.stdout);
  });

  it('takes no value from the command line, no short one, and no reserved name', async () => {
    const argument = await up.gantry(['secrets', 'set', 'app', 'OTHER', 'on-the-command-line']);
    expect(argument).toMatchObject({ code: 2 });
    expect(argument.stderr).toMatch(/the value is no argument/);
    const short = await up.gantry(['secrets', 'set', 'app', 'OTHER'], { input: 'short' });
    expect(short.stderr).toMatch(/5 bytes, expected 6 bytes to 32 KiB/);
    const reserved = await up.gantry(['secrets', 'set', 'app', 'GANTRY_X'], { input: 'long enough' });
    expect(reserved.stderr).toMatch(/begin with GANTRY_/);
    expect([short.code, reserved.code]).toEqual([2, 2]);
  });

  it('removes one, and says when there is none', async () => {
    await up.json(['secrets', 'set', 'app', 'OLD'], { input: 'long enough' });
    await up.json(['secrets', 'remove', 'app', 'OLD']);
    expect((await up.gantry(['secrets', 'remove', 'app', 'OLD'])).code).toBe(4);
  });
});

describe('a step', () => {
  it('sees its secrets, and shows them to nobody, in whatever form it prints them', async () => {
    const run = await submit('forms');
    await succeeded(run);
    const printed = await logOf(run, 'forms');
    holdsNone('the log', printed);
    expect(printed).toContain(`plain ${stars(token)}\n`);
    expect(printed).toContain(`json {"v": "${stars(JSON.stringify(token).slice(1, -1))}"}\n`);
    expect(printed).toContain(
      `url ${stars(encodeURIComponent(token))} ${stars(encodeURIComponent(token))}\n`,
    );
    expect(printed).toMatch(/^base64url \*+=*$/m);
    expect(printed).toContain(`${stars(key)}last line\n`);
    for (const part of ['MIIEvQ', Buffer.from('MIIEvQIBADANBgkqhki').toString('base64').slice(0, 20)]) {
      expect(printed.replaceAll('\n', '')).not.toContain(part);
    }
    for (const line of printed.split('\n').filter((each) => each.startsWith('base64 '))) {
      expect(line.slice('base64 '.length).replaceAll('*', '').length).toBeLessThanOrEqual(8);
    }
    const traced = await logOf(run, 'forms', '2');
    expect(traced).toContain('***');
    holdsNone('what bash traces', traced);
    // Archived, it is the same; and what the agent had of it is gone.
    await eventually(
      'nothing of it is left on a disk',
      async () => (await filesWith(up.data, hidden)) === '',
      60_000,
    );
    expect(await logOf(run, 'forms')).toBe(printed);
  });

  it('has them where nobody else looks, while it runs', async () => {
    const run = await submit('quiet');
    const container = await inTheMiddle(run, 'quiet', 'ready');
    expect(await filesWith(up.data, hidden)).toBe('');
    holdsNone('docker inspect', (await runProgram('docker', ['inspect', container])).stdout);
    const top = await runProgram('docker', ['top', container, '-eo', 'pid,args']);
    expect(top.stdout).toContain('step-1');
    holdsNone('docker top', top.stdout);
    holdsNone('the list of processes', await commandLines());
    const dump = await streams();
    expect(dump).toContain('StageLeased');
    expect(dump).toContain('sealed');
    holdsNone('NATS', dump);
    expect(assignments.join()).toContain('"secrets"');
    holdsNone('an assignment', assignments.join());
    await go(container);
    await succeeded(run);
    expect(await logOf(run, 'quiet')).toBe('ready\nhas all of it\n');
    for (const daemon of ['coordinator', 'agent-1'])
      holdsNone(`the log of ${daemon}`, await up.logOf(daemon));
  });

  it('is masked across the moment in which its agent is killed', async () => {
    const run = await submit('halves');
    const container = await inTheMiddle(run, 'halves', 'one ');
    const agent = (await up.daemons()).find(({ name }) => name === 'agent-1');
    process.kill(agent?.pid ?? 0, 'SIGKILL');
    await go(container);
    await succeeded(run);
    expect(await logOf(run, 'halves')).toBe(`one ${stars(token)} two\n`);
    expect(await logOf(run, 'halves', '2')).toBe(`again ${stars(token)}\n`);
    const shown = (await up.json(['show', run])) as { stages: { attempts: unknown[] }[] };
    expect(shown.stages[0]?.attempts).toHaveLength(1);
  });

  it('whose secret is not there fails before it begins, with what to type', async () => {
    await remote.commit({
      'other.yml': '',
      '.gantry.yml': text.replace('secrets: [TOKEN]', 'secrets: [NO_SUCH]'),
    });
    await remote.push();
    const run = await submit('quiet');
    expect((await up.gantry(['wait', run])).code).toBe(1);
    expect((await up.gantry(['show', run])).stdout).toMatch(
      /secret NO_SUCH: .*gantry secrets set \S*app NO_SUCH/,
    );
    expect(await logOf(run, 'quiet')).toBe('');
  });
});

describe('a tree that somebody submits', () => {
  it('as the default branch gets no secret but by its user’s right', async () => {
    await up.json(['users', 'add', 'dev']);
    await up.json(['users', 'add', 'trusted', '--secrets']);
    const tokenOf = async (user: string): Promise<string> => {
      const made = (await up.json(['tokens', 'create', '--user', user])) as { text: string };
      return made.text;
    };
    const dir = await makeTree({ '.gantry.yml': text, 'forms.py': forms, 'changed.txt': 'x' });
    try {
      await runProgram('git', ['-C', dir, 'remote', 'add', 'origin', remote.directory]);
      await writeFile(join(dir, 'go'), '');
      const submitAs = async (user: string): Promise<string> => {
        const env = { GANTRY_TOKEN: await tokenOf(user) };
        const args = ['submit', dir, '--branch', 'main', '--stage', 'halves'];
        return ((await up.json(args, { env })) as { run: string }).run;
      };
      const refused = await submitAs('dev');
      expect((await up.gantry(['wait', refused])).code).toBe(1);
      expect((await up.gantry(['show', refused])).stdout).toMatch(/secret TOKEN: .*dev does not have it/);
      expect(await logOf(refused, 'halves')).toBe('');
      const allowed = await submitAs('trusted');
      await succeeded(allowed);
      expect(await logOf(allowed, 'halves', '2')).toBe(`again ${stars(token)}\n`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
