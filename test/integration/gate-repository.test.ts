/** The gate's hands on real repositories: merging, pushing with the old value stated, looking, and what is lost in between. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommitBundle } from '../../coordinator/source/bundle-commit.js';
import type { MergeOrder } from '../../coordinator/source/gate-commit.js';
import { GateRepository, type MergeOutcome } from '../../coordinator/source/gate-repository.js';
import { parseProjectId, parseRunId, type CommitId } from '../../shared/model/ids.js';
import { serveGit } from '../support/git-http.js';
import { commitIdOf, git, temporaryDirectory, TestRepository } from '../support/repositories.js';

const project = parseProjectId('aaaaaaaaaaaaaaaa')!;
const run = parseRunId('bbbbbbbbbbbbbbbb')!;
const { signal } = new AbortController();

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let bare: string;
let work: TestRepository;
let base: CommitId;

beforeEach(async () => {
  directory = await temporaryDirectory();
  work = await TestRepository.make(path.join(directory.path, 'work'));
  await work.write({ 'a.txt': 'a\n', 'b.txt': 'b\n' });
  base = await work.commit('the beginning');
  bare = path.join(directory.path, 'app.git');
  await git(directory.path, 'clone', '--quiet', '--bare', work.directory, bare);
  await work.git('remote', 'add', 'origin', bare);
});
afterEach(() => directory.remove());

const repositoryAt = (
  url: string,
  cache = 'cache',
  hook: Readonly<Record<string, string>> = {},
): GateRepository =>
  new GateRepository({
    project,
    url,
    roots: [directory.path],
    cacheDirectory: path.join(directory.path, cache),
    credential: () => Promise.resolve(undefined),
    hookEnvironment: () => Promise.resolve(hook),
  });

/** A branch off the beginning, pushed. */
async function change(
  name: string,
  files: Readonly<Record<string, string>>,
  message?: string,
): Promise<CommitId> {
  await work.git('checkout', '--quiet', '-B', name, base);
  await work.write(files);
  const commit = await work.commit(message);
  await work.git('push', '--quiet', '--force', 'origin', name);
  return commit;
}

const orderOf = (commit: CommitId, more: Partial<MergeOrder> = {}): MergeOrder => ({
  base,
  commit,
  method: 'merge',
  source: 'login',
  target: 'main',
  run,
  at: Date.UTC(2020, 0, 2),
  ...more,
});

/** Where the bundle went. */
let stored = '';
const how = {
  held: new Set<CommitId>(),
  store: async (file: string, _bundle: CommitBundle) => {
    stored = path.join(directory.path, 'stored.bundle');
    await writeFile(stored, await readFile(file));
  },
  signal,
};

const merged = async (repository: GateRepository, order: MergeOrder) => {
  const outcome: MergeOutcome = await repository.merge(order, how);
  if (outcome.kind !== 'merged') throw new Error(`expected a merge, got ${JSON.stringify(outcome)}`);
  return outcome;
};

const wanted = (): Promise<boolean> => Promise.resolve(true);
const land = (repository: GateRepository, commit: CommitId, expected = base) =>
  repository.land({ target: 'main', commit, expected }, wanted, signal);
const tipOf = async (ref: string): Promise<CommitId> => commitIdOf(await git(bare, 'rev-parse', ref));

describe('A merge', () => {
  it('has both parents, the gate’s identity, the trailer, and travels as a bundle that a clone can be made of', async () => {
    const commit = await change('login', { 'login.txt': 'new\n' }, 'Add the login\n\nReviewed-by: Bob');
    const { commit: candidate, bundle } = await merged(repositoryAt(bare), orderOf(commit));
    const clone = path.join(directory.path, 'clone');
    await git(directory.path, 'init', '--quiet', clone);
    await writeFile(path.join(clone, '.git', 'shallow'), bundle.shallow.map((id) => `${id}\n`).join(''));
    await git(clone, 'fetch', '--quiet', stored, 'refs/gantry/submitted');
    await git(clone, 'checkout', '--quiet', 'FETCH_HEAD');
    expect(await git(clone, 'log', '-1', '--format=%H %P')).toBe(`${candidate} ${base} ${commit}`);
    expect(await git(clone, 'log', '-1', '--format=%an %cn %ct')).toBe(
      `Gantry Gantry ${Date.UTC(2020, 0, 2) / 1000}`,
    );
    expect(await git(clone, 'log', '-1', '--format=%(trailers:key=Gantry-Run,valueonly)')).toBe(`${run}\n`);
    expect(await readFile(path.join(clone, 'login.txt'), 'utf8')).toBe('new\n');
  });

  it('made twice of the same is the same commit', async () => {
    const commit = await change('login', { 'login.txt': 'new\n' });
    const one = await merged(repositoryAt(bare, 'one'), orderOf(commit));
    const other = await merged(repositoryAt(bare, 'other'), orderOf(commit));
    expect(other.commit).toBe(one.commit);
  });

  it('names the files in conflict, whatever they are called', async () => {
    const ours = await change('ours', { 'a.txt': 'ours\n', 'with space\tand ü': '1\n' });
    const theirs = await change('theirs', { 'a.txt': 'theirs\n', 'with space\tand ü': '2\n' });
    const outcome = await repositoryAt(bare).merge(orderOf(theirs, { base: ours }), how);
    expect(outcome.kind).toBe('base-missing');
    await git(bare, 'update-ref', 'refs/heads/main', ours);
    await git(bare, 'update-ref', 'refs/heads/master', ours);
    const target = (await git(bare, 'symbolic-ref', 'HEAD')).replace('refs/heads/', '');
    const conflict = await repositoryAt(bare).merge(orderOf(theirs, { base: ours, target }), how);
    expect(conflict).toEqual({ kind: 'conflict', files: ['a.txt', 'with space\tand ü'] });
  });

  it('of what the base contains, or of what changes nothing there, is none', async () => {
    const repository = repositoryAt(bare);
    expect(await repository.merge(orderOf(base), how)).toEqual({ kind: 'contained' });
    const commit = await change('empty', {}, 'nothing');
    expect(await repository.merge(orderOf(commit), how)).toEqual({ kind: 'contained' });
  });

  it('of a history that has nothing in common says so', async () => {
    await work.git('checkout', '--quiet', '--orphan', 'foreign');
    const commit = await work.commit('from elsewhere');
    await work.git('push', '--quiet', 'origin', 'foreign');
    const outcome = await repositoryAt(bare).merge(orderOf(commit), how);
    expect(outcome).toMatchObject({ kind: 'conflict' });
  });

  it('of a commit that the server does not have is told from a server that is away or lets nobody in', async () => {
    const gone = commitIdOf('1'.repeat(40));
    expect(await repositoryAt(bare).merge(orderOf(gone), how)).toMatchObject({ kind: 'commit-missing' });
    const http = await serveGit({ root: directory.path, answer: 500 });
    const remote = repositoryAt(`${http.url}/app.git`, 'http');
    expect(await remote.merge(orderOf(gone), how)).toMatchObject({ kind: 'unavailable' });
    http.answer = 401;
    expect(await remote.merge(orderOf(gone), how)).toMatchObject({ kind: 'refused-credentials' });
    await http.close();
  });

  it('keeps the message of a single commit that is squashed, and its trailers together', async () => {
    const commit = await change(
      'login',
      { 'login.txt': '1\n' },
      'Add the login\n\nWhy: people asked.\n\nReviewed-by: Bob <b@c.d>',
    );
    const { commit: candidate } = await merged(repositoryAt(bare), orderOf(commit, { method: 'squash' }));
    await land(repositoryAt(bare), candidate);
    expect(await git(bare, 'log', '-1', '--format=%an %P', candidate)).toBe(`Ada Lovelace ${base}`);
    expect(await git(bare, 'log', '-1', '--format=%B', candidate)).toBe(
      `Add the login\n\nWhy: people asked.\n\nReviewed-by: Bob <b@c.d>\nGantry-Run: ${run}\n`,
    );
  });
});

describe('A push', () => {
  const candidate = async (repository: GateRepository): Promise<CommitId> =>
    (await merged(repository, orderOf(await change('login', { 'login.txt': 'new\n' })))).commit;
  const branch = async (): Promise<string> =>
    (await git(bare, 'symbolic-ref', 'HEAD')).replace('refs/heads/', '');
  beforeEach(async () => {
    // Whatever git's default is called on this machine.
    if ((await branch()) !== 'main') await git(bare, 'update-ref', 'refs/heads/main', base);
  });

  it('lands where the target is as expected, moves nothing where it is not, and never makes it', async () => {
    const repository = repositoryAt(bare);
    const commit = await candidate(repository);
    const other = await change('other', { 'o.txt': '1\n' });
    await git(bare, 'update-ref', 'refs/heads/main', other);
    expect(await land(repository, commit)).toEqual({ kind: 'moved' });
    expect(await tipOf('main')).toBe(other);
    await git(bare, 'update-ref', '-d', 'refs/heads/main');
    expect(await land(repository, commit)).toEqual({ kind: 'moved' });
    expect(await git(bare, 'for-each-ref', 'refs/heads/main')).toBe('');
    await git(bare, 'update-ref', 'refs/heads/main', base);
    expect(await land(repository, commit)).toEqual({ kind: 'pushed' });
    expect(await tipOf('main')).toBe(commit);
    // Asked again after its answer was lost: the target says what is true.
    const seen = await repository.look({ target: 'main', known: base, candidate: commit }, signal);
    expect(seen).toMatchObject({
      kind: 'seen',
      tip: commit,
      isForward: true,
      containsCandidate: true,
      by: [],
    });
  });

  it('is not made when it is not wanted any more', async () => {
    const repository = repositoryAt(bare);
    const commit = await candidate(repository);
    const outcome = await repository.land(
      { target: 'main', commit, expected: base },
      () => Promise.resolve(false),
      signal,
    );
    expect(outcome).toBeUndefined();
    expect(await tipOf('main')).toBe(base);
  });

  it('runs the repository’s own hooks, which see that it is the gate', async () => {
    const hook = path.join(bare, 'hooks', 'update');
    await writeFile(
      hook,
      '#!/bin/sh\n[ "$1" != refs/heads/main ] || [ "$GANTRY_GATE_TOKEN" = secret ] || { echo "who are you?" >&2; exit 1; }\n',
      { mode: 0o755 },
    );
    const stranger = repositoryAt(bare, 'one');
    expect(await land(stranger, await candidate(stranger))).toEqual({
      kind: 'refused-content',
      message: 'who are you?',
    });
    const gate = repositoryAt(bare, 'two', { GANTRY_GATE_TOKEN: 'secret' });
    expect(await land(gate, await candidate(gate))).toEqual({ kind: 'pushed' });
  });

  it('to a server that demands credentials, or breaks off, is told apart', async () => {
    const http = await serveGit({ root: directory.path });
    const repository = repositoryAt(`${http.url}/app.git`);
    const commit = await candidate(repository);
    http.answer = 403;
    expect(await land(repository, commit)).toMatchObject({ kind: 'refused-credentials' });
    http.answer = 500;
    expect(await land(repository, commit)).toMatchObject({ kind: 'unknown' });
    await http.close();
    expect(await land(repository, commit)).toMatchObject({ kind: 'unknown' });
  });

  it('deletes a proposal only where it is as it was', async () => {
    const repository = repositoryAt(bare);
    const [one, other] = [await change('one', { x: '1' }), await change('other', { x: '2' })];
    await git(bare, 'update-ref', 'refs/for/main/x', other);
    expect(await repository.deleteRef('refs/for/main/x', one, signal)).toEqual({ kind: 'moved' });
    expect(await tipOf('refs/for/main/x')).toBe(other);
    expect(await repository.deleteRef('refs/for/main/x', other, signal)).toEqual({ kind: 'pushed' });
    expect(await repository.deleteRef('refs/for/main/x', other, signal)).toEqual({ kind: 'moved' });
  });

  it('of what another coordinator merged is made from its bundle', async () => {
    const first = repositoryAt(bare, 'first');
    const entry = await change('login', { 'login.txt': 'new\n' });
    const { commit } = await merged(first, orderOf(entry));
    const second = repositoryAt(bare, 'second');
    expect(await land(second, commit)).toEqual({ kind: 'candidate-lost' });
    expect(await second.read(commit, signal)).toBeUndefined();
    await second.restore(
      { commit, target: 'main', entry },
      async (file) => writeFile(file, await readFile(stored)),
      signal,
    );
    expect(await second.read(commit, signal)).toMatchObject({ commit, text: undefined });
    expect(await land(second, commit)).toEqual({ kind: 'pushed' });
  });
});

describe('A look at the target', () => {
  it('says who pushed, whether it went on, and whether it is gone', async () => {
    const repository = repositoryAt(bare);
    await git(bare, 'update-ref', 'refs/heads/main', base);
    expect(await repository.look({ target: 'main' }, signal)).toMatchObject({
      kind: 'seen',
      tip: base,
      by: [],
    });
    const next = await change('next', { n: '1' });
    await git(bare, 'update-ref', 'refs/heads/main', next);
    expect(await repository.look({ target: 'main', known: base }, signal)).toEqual({
      kind: 'seen',
      tip: next,
      isForward: true,
      containsCandidate: false,
      by: ['Ada Lovelace <ada@example.org>'],
    });
    const other = await change('other', { o: '1' });
    await git(bare, 'update-ref', 'refs/heads/main', other);
    expect(await repository.look({ target: 'main', known: next }, signal)).toMatchObject({
      isForward: false,
    });
    await git(bare, 'update-ref', '-d', 'refs/heads/main');
    expect(await repository.look({ target: 'main', known: next }, signal)).toEqual({ kind: 'deleted' });
    expect(await repository.compare(base, other, signal)).toBe('forward');
    expect(await repository.compare(next, other, signal)).toBe('forced');
  });

  it('begins anew when its copy is damaged or gone', async () => {
    const repository = repositoryAt(bare);
    await git(bare, 'update-ref', 'refs/heads/main', base);
    await repository.look({ target: 'main' }, signal);
    await rm(path.join(directory.path, 'cache', 'gates', `${project}.git`, 'objects'), { recursive: true });
    expect(await repository.look({ target: 'main' }, signal)).toMatchObject({ kind: 'seen', tip: base });
  });
});
