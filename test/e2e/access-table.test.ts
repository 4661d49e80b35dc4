/**
 * Each method of the API × each kind of caller: allowed or refused exactly as the table says. The rows are those of the
 * contract, so that a new method without a row fails.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueToken } from '../../coordinator/access/tokens.js';
import { createNkey } from '../../shared/nats/nkey.js';
import { eventually } from '../support/eventually.js';
import { GrpcProbe, status, statusName, type Told } from '../support/grpc-probe.js';
import { makeTree, startUp, type Up } from '../support/installation.js';
import { Remote } from '../support/remote.js';

/**
 * yes: done, or refused for another reason than who asks · no: known and not allowed (PERMISSION_DENIED) · hid: what is
 * asked for does not exist for this caller (NOT_FOUND)
 *
 * reader     a developer's token with scope read
 * developer  a developer's token
 * elsewhere  a developer's token, limited to another project than the request is about
 * admin      an admin's token
 * limited    an admin's token, limited to another project
 * owner      the token that `up` made
 *
 * Callers whom nobody knows (no token, garbage, forged, expired, revoked, of a removed user) are out everywhere.
 */
const table = `
                        reader  developer  elsewhere  admin  limited  owner  join  agent
Runs.PrepareSource      no      yes        yes        yes    yes      yes    no    no
Runs.Submit             no      yes        no         yes    no       yes    no    no
Runs.Show               yes     yes        hid        yes    hid      yes    no    no
Runs.List               yes     yes        yes        yes    yes      yes    no    no
Runs.Watch              yes     yes        hid        yes    hid      yes    no    no
Runs.Logs               yes     yes        hid        yes    hid      yes    no    no
Runs.Why                yes     yes        hid        yes    hid      yes    no    no
Runs.Cancel             no      yes        hid        yes    hid      yes    no    no
Runs.Retry              no      yes        hid        yes    hid      yes    no    no
Runs.Artifacts          yes     yes        hid        yes    hid      yes    no    no
Runs.ListAgents         yes     yes        yes        yes    yes      yes    no    no
Runs.DrainAgent         no      no         no         yes    no       yes    no    no
Runs.CreateJoinToken    no      no         no         yes    no       yes    no    no
Runs.Diagnose           yes     yes        yes        yes    yes      yes    no    no
Projects.Add            no      no         no         yes    no       yes    no    no
Projects.Set            no      no         no         yes    hid      yes    no    no
Projects.Remove         no      no         no         yes    hid      yes    no    no
Projects.Show           yes     yes        hid        yes    hid      yes    no    no
Projects.List           yes     yes        yes        yes    yes      yes    no    no
Projects.Poll           no      yes        hid        yes    hid      yes    no    no
Projects.Run            no      yes        hid        yes    hid      yes    no    no
Projects.Hook           no      no         no         yes    hid      yes    no    no
Projects.Deliveries     yes     yes        hid        yes    hid      yes    no    no
Projects.SetSecret      no      no         no         yes    hid      yes    no    no
Projects.ListSecrets    no      no         no         yes    hid      yes    no    no
Projects.RemoveSecret   no      no         no         yes    hid      yes    no    no
Gate.Land               no      yes        hid        yes    hid      yes    no    no
Gate.List               yes     yes        yes        yes    yes      yes    no    no
Gate.Show               yes     yes        hid        yes    hid      yes    no    no
Gate.Eject              no      yes        hid        yes    hid      yes    no    no
Gate.Pause              no      no         no         yes    hid      yes    no    no
Gate.Resume             no      no         no         yes    hid      yes    no    no
Gate.Protect            no      no         no         yes    hid      yes    no    no
Environments.Add        no      no         no         yes    hid      yes    no    no
Environments.Set        no      no         no         yes    hid      yes    no    no
Environments.Remove     no      no         no         yes    hid      yes    no    no
Environments.List       yes     yes        yes        yes    yes      yes    no    no
Environments.Show       yes     yes        hid        yes    hid      yes    no    no
Environments.Diff       yes     yes        hid        yes    hid      yes    no    no
Environments.Hold       no      no         no         yes    hid      yes    no    no
Environments.Resume     no      no         no         yes    hid      yes    no    no
Environments.Settle     no      no         no         yes    hid      yes    no    no
Environments.Approve    no      yes        hid        yes    hid      yes    no    no
Environments.Reject     no      yes        hid        yes    hid      yes    no    no
Environments.Rollback   no      no         no         yes    hid      yes    no    no
Access.AddUser          no      no         no         yes    no       yes    no    no
Access.SetUser          no      no         no         yes    no       yes    no    no
Access.RemoveUser       no      no         no         yes    no       yes    no    no
Access.ListUsers        no      no         no         yes    no       yes    no    no
Access.CreateToken      no      yes        yes        yes    yes      yes    no    no
Access.ListTokens       yes     yes        yes        yes    yes      yes    no    no
Access.RevokeToken      no      yes        yes        yes    yes      yes    no    no
Access.Audit            no      no         no         yes    yes      yes    no    no
Access.WhoAmI           yes     yes        yes        yes    yes      yes    no    no
Fleet.Register          no      no         no         no     no       no     yes   yes
Fleet.Renew             no      no         no         no     no       no     no    yes
Fleet.Presign           no      no         no         no     no       no     no    yes
Fleet.FinishUpload      no      no         no         no     no       no     no    yes
Fleet.Secrets           no      no         no         no     no       no     no    yes
AgentLink.Open          no      no         no         no     no       no     no    yes
`;
const [callers = [], ...rows] = table
  .trim()
  .split('\n')
  .map((line) => line.trim().split(/\s+/));

const verdict = ({ code }: Told): string => {
  switch (code) {
    case status.UNAUTHENTICATED:
      return 'out';
    case status.PERMISSION_DENIED:
      return 'no';
    case status.NOT_FOUND:
      return 'hid';
    case status.OK:
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
      return 'yes';
    default:
      return statusName(code);
  }
};

interface Registered {
  readonly agent: string;
  readonly key: string;
  readonly instance: string;
}

let up: Up;
let root: string;
let probe: GrpcProbe;
let tokenKey: Buffer;
let owner: string;
let remote: Remote;
/** Of the project that requests are about. */
let run: string;
let known: Registered;
let bearers: Readonly<Record<string, string>>;

const base32 = (length: number): string =>
  Array.from(randomBytes(length), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('');
const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const natsUser = createNkey('user').publicKey;
const pipeline = 'stages:\n  only:\n    steps: ["true"]\n';

/** As the owner; fails the test when it is refused. */
async function asOwner(method: string, request: object): Promise<Readonly<Record<string, unknown>>> {
  const told = await probe.call(method, request, owner);
  expect(statusName(told.code), `${method}: ${told.details}`).toBe('OK');
  return told.answer as Readonly<Record<string, unknown>>;
}
async function tokenFor(user: string, request: object = {}): Promise<{ id: string; text: string }> {
  const { text, token } = (await asOwner('Access.CreateToken', { user, ...request })) as {
    text: string;
    token: { id: string };
  };
  return { id: token.id, text };
}
const userOf = (caller: string): string =>
  ({ reader: 'dev', developer: 'dev', elsewhere: 'dev', admin: 'boss', limited: 'boss' })[caller] ?? 'dev';

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-table-'));
  up = await startUp(['--executor', 'host', '--slots', '4', '--repo-root', root]);
  probe = new GrpcProbe(up.grpc);
  tokenKey = Buffer.from((await readFile(join(up.data, 'keys', 'token.key'), 'utf8')).trim(), 'hex');
  owner = issueToken(tokenKey, { kind: 'user', name: 'somebody' });
  remote = await Remote.make(root, 'app');
  await remote.commit({ '.gantry.yml': pipeline });
  await remote.push();
  await asOwner('Projects.Add', { url: remote.directory });
  await asOwner('Access.AddUser', { name: 'dev', role: 'developer', mails: ['dev@example.org'] });
  await asOwner('Access.AddUser', { name: 'boss', role: 'admin' });
  await asOwner('Access.AddUser', { name: 'target', role: 'developer' });
  known = { agent: base32(16), key: randomBytes(32).toString('base64url'), instance: base32(16) };
  const join_ = issueToken(tokenKey, {
    kind: 'join',
    id: base32(16),
    by: 'test',
    labels: [],
    projects: [],
    expires: inSeconds(600),
  });
  const registered = await probe.call('Fleet.Register', registration(), join_);
  expect(statusName(registered.code), registered.details).toBe('OK');
  const other = { projects: ['git.example.org/some/other'] };
  bearers = {
    reader: (await tokenFor('dev', { scope: 'read' })).text,
    developer: (await tokenFor('dev')).text,
    elsewhere: (await tokenFor('dev', other)).text,
    admin: (await tokenFor('boss')).text,
    limited: (await tokenFor('boss', other)).text,
    owner,
    join: join_,
    agent: `gantry_agent_${known.agent}.${known.key}`,
  };
  run = await builtRun(projectName());
});
afterAll(async () => {
  probe.close();
  await up.stop();
  await rm(root, { recursive: true, force: true });
});

/** A run of the project's first push, once it has ended. */
async function builtRun(project: string): Promise<string> {
  const built = await eventually(
    `the first push of ${project} is built`,
    async () => {
      const { runs = [] } = (await asOwner('Runs.List', { projectName: project })) as {
        runs?: { run: string; status: string }[];
      };
      return runs.find((one) => one.status === 'succeeded');
    },
    30_000,
  );
  return built.run;
}

const projectName = (): string => remote.directory.replace(/\.git$/, '');
const registration = (): object => ({
  agent: known.agent,
  name: 'known',
  instance: known.instance,
  labels: ['os=nowhere', 'executor=none'],
  slots: 1,
  agentKey: known.key,
  natsUser,
  version: 'test',
});

/** What is asked, about the project and a run of it: such that whoever may gets through. */
const requests: Readonly<Record<string, (caller: string) => object | Promise<object>>> = {
  'Runs.PrepareSource': () => ({ digest: '0'.repeat(64), bytes: 10 }),
  // Nothing is in storage for it: refused, once it is known who asks.
  'Runs.Submit': () => ({
    run: base32(16),
    source: 'bundle',
    bundle: { digest: '0'.repeat(64), bytes: 10, commit: '1'.repeat(40), projectName: projectName() },
    pipelineText: pipeline,
  }),
  'Runs.Show': () => ({ run }),
  'Runs.Watch': () => ({ run: { run } }),
  'Runs.Logs': () => ({ run: { run } }),
  'Runs.Why': () => ({ run: { run } }),
  'Runs.Cancel': () => ({ run: { run } }),
  'Runs.Retry': () => ({ run: { run }, newRun: base32(16) }),
  'Runs.Artifacts': () => ({ run: { run } }),
  'Runs.DrainAgent': () => ({ agent: known.agent, undo: true }),
  'Projects.Add': () => ({ url: remote.directory }),
  'Projects.Set': () => ({ project: about(), settings: { cancelSuperseded: false } }),
  'Projects.Remove': async () => {
    // One to be removed by each who may.
    const spare = join(root, 'spare.git');
    const told = await probe.call('Projects.Add', { url: spare }, owner);
    if (told.code !== status.OK) expect(told.details).toContain('exists');
    return { project: spare.replace(/\.git$/, '') };
  },
  'Projects.Show': () => about(),
  'Projects.Poll': () => about(),
  'Projects.Run': () => ({ project: about(), run: base32(16) }),
  'Projects.Hook': () => ({ project: about() }),
  'Projects.Deliveries': () => about(),
  'Projects.SetSecret': () => ({ project: about(), name: 'DEPLOY_KEY', value: 'not so secret' }),
  'Projects.ListSecrets': () => ({ project: about() }),
  'Projects.RemoveSecret': async () => {
    await asOwner('Projects.SetSecret', { project: about(), name: 'SPARE', value: 'not so secret' });
    return { project: about(), name: 'SPARE' };
  },
  'Environments.Add': () => ({ environment: place(`env-${base32(8)}`) }),
  'Environments.Set': () => ({ environment: place('staging'), settings: { url: 'https://example.org' } }),
  'Environments.Remove': async () => {
    const name = `env-${base32(8)}`;
    await asOwner('Environments.Add', { environment: place(name) });
    return place(name);
  },
  'Environments.List': () => ({ all: true }),
  'Environments.Show': () => place('staging'),
  'Environments.Diff': () => ({ project: about(), left: 'staging', right: 'staging' }),
  'Environments.Hold': () => ({ environment: place('review') }),
  'Environments.Resume': () => place('review'),
  // What was deployed has ended: refused, once it is known who asks.
  'Environments.Settle': () => ({ environment: place('staging'), deployment: 1, outcome: 'good' }),
  'Environments.Approve': () => ({ environment: place('staging'), deployment: 1, binding: {} }),
  'Environments.Reject': () => ({ environment: place('staging'), deployment: 1, reason: 'no' }),
  'Environments.Rollback': () => ({ environment: place('staging'), run: base32(16) }),
  'Gate.Land': () => ({ gate: gate(), entry: base32(16), branch: 'main' }),
  'Gate.List': () => ({ all: true }),
  'Gate.Show': () => gate(),
  'Gate.Eject': async () => {
    // Paused, so that it stays queued until it is ejected.
    await asOwner('Gate.Pause', { gate: gate() });
    return { gate: gate(), entry: await landed() };
  },
  'Gate.Pause': () => ({ gate: gate() }),
  'Gate.Resume': () => gate(),
  'Gate.Protect': () => about(),
  'Access.AddUser': () => ({ name: `new-${base32(8)}`, role: 'developer' }),
  'Access.SetUser': () => ({ name: 'target', role: 'developer' }),
  'Access.RemoveUser': async () => {
    const name = `spare-${base32(8)}`;
    await asOwner('Access.AddUser', { name, role: 'developer' });
    return { name };
  },
  // The owner is no user of the directory, and has no token of their own there.
  'Access.CreateToken': (caller) => ({ user: caller === 'owner' ? 'dev' : '', validSeconds: 60 }),
  'Access.RevokeToken': async (caller) => ({ id: (await tokenFor(userOf(caller))).id }),
  'Fleet.Register': () => registration(),
  'Fleet.Renew': () => ({ natsUser }),
  'AgentLink.Open': () => ({ hello: { agent: known.agent, instance: known.instance } }),
};
/** Environments of the project, and one deployment that a developer approved and that is there. */
async function deployed(): Promise<void> {
  const settings = { approval: { approvers: ['dev'], setApprovers: true } };
  await asOwner('Environments.Add', { environment: place('staging'), settings });
  await asOwner('Environments.Add', { environment: place('review') });
  await remote.git(remote.clone, 'checkout', '--quiet', 'main');
  await remote.commit({
    '.gantry.yml': `${pipeline}  deploy:\n    environment: staging\n    steps: ["true"]\n`,
  });
  await remote.push('HEAD:main', '--force');
  await asOwner('Projects.Poll', about());
  interface Deployment {
    readonly deployment: number;
    readonly status: string;
    readonly binding?: object;
  }
  const found = async (status: string): Promise<Deployment> =>
    eventually(
      `a deployment is ${status}`,
      async () => {
        const told = await asOwner('Environments.Show', place('staging'));
        const { open = [], history = [] } = told as Readonly<
          Record<string, readonly Deployment[] | undefined>
        >;
        return [...open, ...history].find((one) => one.status === status);
      },
      30_000,
    );
  const { deployment, binding } = await found('approval');
  const order = { environment: place('staging'), deployment, binding };
  const told = await probe.call('Environments.Approve', order, bearers['developer']);
  expect(statusName(told.code), told.details).toBe('OK');
  await found('verified');
}
const place = (environment: string): object => ({ project: about(), environment });
/** An entry of the gate, queued by the owner. */
async function landed(): Promise<string> {
  const entry = base32(16);
  await remote.commit({ [entry]: 'a change\n' });
  await remote.push('HEAD:refs/heads/login', '--force');
  await asOwner('Gate.Land', { gate: gate(), entry, branch: 'login' });
  return entry;
}
const gate = (): object => ({ project: about(), target: 'main' });
const about = (): object => ({ project: projectName() });
const requestOf = async (method: string, caller: string): Promise<object> =>
  (await requests[method]?.(caller)) ?? {};

describe('every method of the API', () => {
  beforeAll(async () => {
    const spare = await Remote.make(root, 'spare');
    await spare.commit({ README: 'no pipeline\n' });
    await spare.push();
    // The project has a gate once it says what must be green; the branch has one from its first entry on.
    await asOwner('Projects.Set', {
      project: about(),
      settings: { gate: { require: ['only'], setRequire: true } },
    });
    await landed();
    await deployed();
  });

  it('stands in the table', () => {
    expect(rows.map(([method]) => method).sort()).toEqual([...probe.methods()].sort());
  });

  it.each(rows.map(([method = '', ...cells]) => ({ method, cells })))(
    '$method is open to those whom the table names',
    async ({ method, cells }) => {
      const seen: string[] = [];
      const words: string[] = [];
      for (const caller of callers) {
        const told = await probe.call(method, await requestOf(method, caller), bearers[caller]);
        seen.push(verdict(told));
        words.push(`${caller}: ${statusName(told.code)} ${told.details}`);
      }
      expect(seen, words.join('\n')).toEqual(cells);
    },
  );
});

describe('whoever is not known', () => {
  /** Each with what they are told. */
  const strangers = async (): Promise<Readonly<Record<string, readonly [string | undefined, RegExp]>>> => {
    await asOwner('Access.AddUser', { name: 'leaver', role: 'admin' });
    const removed = await tokenFor('leaver');
    await asOwner('Access.RemoveUser', { name: 'leaver' });
    const revoked = await tokenFor('boss');
    await asOwner('Access.RevokeToken', { id: revoked.id });
    const short = await tokenFor('boss', { validSeconds: 1 });
    const expiresAt = Date.now() + 1_000;
    await eventually('the token has expired', () => Date.now() > expiresAt);
    const good = await tokenFor('boss');
    const withoutSecret = `gantry_token_${good.id}.${randomBytes(32).toString('base64url')}`;
    return {
      'no token': [undefined, /no token/],
      garbage: ['gantry_user_bm90aGluZw.bm90aGluZw', /not issued by this coordinator/],
      'no token at all': ['hunter2', /not a Gantry token/],
      forged: [issueToken(randomBytes(32), { kind: 'user', name: 'somebody' }), /not issued/],
      'the owner’s, expired': [
        issueToken(tokenKey, { kind: 'user', name: 'somebody', expires: inSeconds(-1) }),
        /expired/,
      ],
      expired: [short.text, /^the token expired at /],
      revoked: [revoked.text, /^the token was revoked/],
      'of a removed user': [removed.text, /leaver, who was removed/],
      'an id without its secret': [withoutSecret, /^the token is not known here/],
      // The same words: whether there is such an id is not told.
      'an unknown id': [`gantry_token_${base32(16)}.${'x'.repeat(43)}`, /^the token is not known here/],
      'a key of no agent': [`gantry_agent_${base32(16)}.${known.key}`, /not registered/],
      'another key of an agent': [`gantry_agent_${known.agent}.${'x'.repeat(43)}`, /not registered/],
    };
  };

  it('gets in nowhere, and is told why', async () => {
    for (const [who, [bearer, words]] of Object.entries(await strangers())) {
      for (const method of probe.methods()) {
        const told = await probe.call(method, await staticRequest(method), bearer);
        expect(statusName(told.code), `${who} at ${method}: ${told.details}`).toBe('UNAUTHENTICATED');
        expect(told.details, who).toMatch(words);
      }
    }
  });

  /** Without preparing anything: nobody gets far enough to need it. */
  const staticRequest = async (method: string): Promise<object> =>
    [
      'Environments.Remove',
      'Projects.Remove',
      'Projects.RemoveSecret',
      'Gate.Eject',
      'Access.RemoveUser',
      'Access.RevokeToken',
    ].includes(method)
      ? {}
      : requestOf(method, 'owner');
});

describe('a token that is limited to a project', () => {
  let bearer: string;
  let own: string;
  let mine: string;

  beforeAll(async () => {
    const other = await Remote.make(root, 'own');
    own = other.directory.replace(/\.git$/, '');
    await other.commit({ '.gantry.yml': pipeline });
    await other.push();
    await asOwner('Projects.Add', { url: other.directory });
    bearer = (await tokenFor('dev', { projects: [own] })).text;
    mine = await builtRun(own);
  });

  it('sees runs of that project only: in lists, by prefix and as the latest', async () => {
    const list = await probe.call('Runs.List', {}, bearer);
    expect(list.answer).toMatchObject({ runs: [{ run: mine, project: own }] });
    expect((list.answer as { runs: unknown[] }).runs).toHaveLength(1);
    // Runs of the other project came later.
    expect((await probe.call('Runs.Show', { run: '' }, bearer)).answer).toMatchObject({ run: mine });
    for (const selector of [{ run: run.slice(0, 6) }, { run: '', projectName: projectName() }]) {
      const told = await probe.call('Runs.Show', selector, bearer);
      expect(statusName(told.code), JSON.stringify(selector)).toBe('NOT_FOUND');
      expect(told.details).not.toContain(run);
    }
    const projects = await probe.call('Projects.List', {}, bearer);
    expect((projects.answer as { projects: { name: string }[] }).projects.map(({ name }) => name)).toEqual([
      own,
    ]);
  });

  it('is told of another project’s run what it is told of one that does not exist', async () => {
    const nobodys = base32(16);
    for (const method of ['Runs.Show', 'Runs.Cancel', 'Runs.Logs', 'Runs.Why', 'Runs.Artifacts']) {
      const ask = (id: string): Promise<Told> =>
        probe.call(method, method === 'Runs.Show' ? { run: id } : { run: { run: id } }, bearer);
      const [hidden, missing] = [await ask(run), await ask(nobodys)];
      expect(hidden.details.replace(run, nobodys), method).toBe(missing.details);
    }
  });

  it('makes none that reaches further, lasts longer or may do more', async () => {
    const make = (request: object): Promise<Told> => probe.call('Access.CreateToken', request, bearer);
    const made = (await make({ note: 'for a script' })).answer as { token: { projects: string[] } };
    expect(made.token.projects).toEqual([own]);
    for (const request of [
      { projects: [projectName()] },
      { neverExpires: true },
      { validSeconds: 400 * 86_400 },
      { user: 'boss' },
    ]) {
      expect(statusName((await make(request)).code), JSON.stringify(request)).toBe('PERMISSION_DENIED');
    }
    expect(statusName((await make({ scope: 'admin' })).code)).toBe('INVALID_ARGUMENT');
  });

  it('of an admin sees in the audit what is about it', async () => {
    const limited = await tokenFor('boss', { projects: [projectName()] });
    const told = await probe.call('Access.Audit', {}, limited.text);
    const { rows: shown = [] } = told.answer as { rows?: { project: string }[] };
    expect(shown.length).toBeGreaterThan(0);
    expect(new Set(shown.map(({ project }) => project))).toEqual(new Set([projectName()]));
  });
});

describe('a call that lasts', () => {
  it('ends when its token is revoked', async () => {
    const go = join(root, `go-${base32(8)}`);
    const dir = await makeTree({
      '.gantry.yml': `stages:\n  slow:\n    steps: ['while [ ! -e ${go} ]; do echo waiting; sleep 0.05; done']\n`,
    });
    const { run: slow } = (await up.json(['submit', dir])) as { run: string };
    const { id, text } = await tokenFor('dev');
    const told = probe.untilEnd('Runs.Logs', { run: { run: slow }, follow: true }, text);
    await eventually('it reads', () => told.messages() > 0, 30_000);
    await asOwner('Access.RevokeToken', { id });
    expect(statusName((await told.end).code)).toBe('UNAUTHENTICATED');
    await up.gantry(['cancel', slow]);
    await rm(dir, { recursive: true, force: true });
  });
});

describe('people', () => {
  it('are added, given a token, known by it, and shut out again; all of it is in the audit', async () => {
    const added = await up.gantry(['users', 'add', 'ann', '--mail', 'ann@example.org', '--secrets']);
    expect(added.code, added.stderr).toBe(0);
    expect(added.stderr).toContain('gantry tokens create --user ann');
    expect((await up.gantry(['users', 'add', 'ANN'])).code).toBe(5);
    expect((await up.gantry(['users', 'add', 'eve', '--mail', 'a@b, c@d'])).code).toBe(2);
    expect((await up.gantry(['users', 'set', 'nobody', '--role', 'admin'])).code).toBe(4);

    const made = await up.gantry(['tokens', 'create', '--user', 'ann', '--days', '1', '--note', 'laptop']);
    expect(made.code, made.stderr).toBe(0);
    const text = made.stdout.trim();
    expect(text).toMatch(/^gantry_token_[a-z2-7]{16}\.[A-Za-z0-9_-]{43}$/);
    expect(made.stderr).toContain('GANTRY_TOKEN=TOKEN');
    // Shown once: on stdout alone, and kept nowhere.
    const [, secret = ''] = text.split('.');
    expect(made.stderr).not.toContain(secret);
    expect(await up.logOf('coordinator')).not.toContain(secret);

    const asAnn = { env: { GANTRY_TOKEN: text } };
    const who = (await up.json(['whoami'], asAnn)) as object;
    expect(who).toMatchObject({ name: 'ann', role: 'developer', scope: 'write', projects: [] });
    expect((await up.gantry(['runs'], asAnn)).code).toBe(0);
    expect((await up.gantry(['users', 'ls'], asAnn)).code).toBe(5);
    expect((await up.gantry(['agents', 'token'], asAnn)).code).toBe(5);
    const own = (await up.json(['tokens', 'ls'], asAnn)) as {
      tokens: { user: string; lastUsedAt: string }[];
    };
    expect(own.tokens.map(({ user }) => user)).toEqual(['ann']);

    // In force at once, also for tokens that exist.
    expect((await up.gantry(['users', 'set', 'ann', '--role', 'admin'])).code).toBe(0);
    expect((await up.json(['whoami'], asAnn)) as object).toMatchObject({ role: 'admin', scope: 'write' });
    const removed = await up.gantry(['users', 'remove', 'ann']);
    expect(removed.stdout).toContain('1 token ended');
    const late = await up.gantry(['whoami'], asAnn);
    expect([late.code, late.stderr]).toEqual([5, expect.stringContaining('ann, who was removed') as unknown]);

    const { rows: shown } = (await up.json(['audit', '--limit', '500'])) as {
      rows: { by: string; action: string; subject: string; detail: string }[];
    };
    const deeds = shown.filter(({ subject, detail }) => subject === 'ann' || detail.startsWith('for ann'));
    expect(deeds.map(({ action }) => action)).toEqual([
      'user.remove',
      'user.set',
      'token.create',
      'user.add',
    ]);
    expect(new Set(deeds.map(({ by }) => by)).size).toBe(1);
    expect(JSON.stringify(shown)).not.toContain(secret);
    // What happened elsewhere in this file.
    for (const action of [
      'run.push',
      'run.retry',
      'project.add',
      'project.remove',
      'agent.register',
      'token.revoke',
    ])
      expect(shown.map((row) => row.action)).toContain(action);
    expect(shown.find(({ action }) => action === 'agent.register')?.by).toMatch(/^agent /);
  });

  it('and the audit are there again after the coordinator was killed', async () => {
    const before = await up.json(['audit', '--limit', '500']);
    const users = await up.json(['users', 'ls']);
    const coordinator = (await up.daemons()).find(({ name }) => name === 'coordinator');
    process.kill(coordinator?.pid ?? 0, 'SIGKILL');
    await eventually(
      'it answers again',
      async () => (await probe.call('Runs.Diagnose', {}, owner)).code === status.OK,
      60_000,
    );
    expect(await up.json(['users', 'ls'])).toEqual(users);
    const { rows: was } = before as { rows: { sequence: number }[] };
    const { rows: is } = (await up.json(['audit', '--limit', '500'])) as { rows: { sequence: number }[] };
    expect(is.slice(is.length - was.length)).toEqual(was);
  });
});
