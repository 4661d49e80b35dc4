import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { CheckoutError, checkoutError, looksDamaged } from '../../shared/git/checkout-failure.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { withGitAccess } from '../../shared/git/git-access.js';
import { isolatedEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitText, runGit, type GitCommand } from '../../shared/git/git-program.js';
import { checkRepositoryAllowed, projectOf, type RepositoryUrl } from '../../shared/git/repository-url.js';
import { fileUrl, uploadPack } from '../../shared/git/upload-pack.js';
import { Turns } from '../../shared/git/turns.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import { chooseRevision, parseRemoteRefs, type Revision } from './remote-refs.js';

export interface PipelineRequest {
  /** As given by a person. */
  readonly url: string;
  /** Branch, tag, full ref name, `HEAD`, or the 40 characters of a commit. */
  readonly commitish: string;
  /** Paths below which repositories of this machine may be read. */
  readonly roots: readonly string[];
  /** Where this coordinator keeps what it fetched; may be deleted at any time. */
  readonly cacheDirectory: string;
  /** Absent: what the repository gives to everybody. */
  readonly credential?: GitCredential;
  /** Default `.gantry.yml`. */
  readonly file?: string;
  readonly signal: AbortSignal;
}

export interface PipelineAt {
  /** Normalized. */
  readonly url: string;
  readonly projectName: string;
  readonly commit: CommitId;
  /** Absent: there is no such file at the commit. */
  readonly text: string | undefined;
  /** First line of the commit's message, at most 200 characters. */
  readonly title: string;
  /** `Name <address>` */
  readonly author: string;
  /** Full name of the branch or tag the commit was found on, where it is known. */
  readonly ref?: string;
  /** Short name, where `ref` is a branch; `tag`, where it is a tag. */
  readonly branch?: string;
  readonly tag?: string;
}

const place = 'the coordinator';
const maxPipelineBytes = 1024 * 1024;
/** A cache that has grown beyond this (KiB) is begun anew; it holds nothing that cannot be fetched again. */
const maxCacheKib = 512 * 1024;
const idleMs = 120_000;

/** One at a time in one cache. */
const turnsOf = new Map<string, Turns>();

/**
 * Reads a pipeline's text at a commit of a remote repository, without getting the rest: the commit alone, and of its files
 * only those that are asked for, where the server can do that. Throws `CheckoutError`, or the signal's reason.
 */
export async function readPipelineAt(request: PipelineRequest): Promise<PipelineAt> {
  const context = { place, repository: request.url, revision: request.commitish };
  try {
    const repository = await checkRepositoryAllowed(request.url, request.roots);
    return await withGitAccess({ repository, credential: request.credential }, (environment) =>
      readRemote(repository, { ...request, environment }),
    );
  } catch (error) {
    request.signal.throwIfAborted();
    throw checkoutError(error, context);
  }
}

/** With the environment of commands that talk to the remote. */
type RemoteRequest = PipelineRequest & { readonly environment: Readonly<Record<string, string>> };

async function readRemote(repository: RepositoryUrl, request: RemoteRequest): Promise<PipelineAt> {
  const revision = await resolve(repository, request);
  const cache = path.join(request.cacheDirectory, `${projectOf(repository.name).id}.git`);
  const turns = turnsOf.get(cache) ?? new Turns();
  turnsOf.set(cache, turns);
  return await turns.write(async () => {
    try {
      return await readFrom(cache, repository, revision, request);
    } catch (error) {
      request.signal.throwIfAborted();
      if (!looksDamaged(error)) throw error;
      await rm(cache, { recursive: true, force: true });
      return readFrom(cache, repository, revision, request);
    }
  }, request.signal);
}

/** What branch, tag or commit is meant, as the remote says now. */
async function resolve(repository: RepositoryUrl, request: RemoteRequest): Promise<Revision> {
  const { stdout } = await runGit({
    args: [
      'ls-remote',
      '--symref',
      ...localServer(repository, '--upload-pack'),
      '--end-of-options',
      remoteOf(repository),
    ],
    environment: request.environment,
    signal: request.signal,
    maxStdoutBytes: 128 * 1024 * 1024,
    idleMs,
  });
  const revision = chooseRevision(parseRemoteRefs(stdout.toString('utf8')), request.commitish);
  if (revision.kind === 'unknown') {
    throw new CheckoutError({
      kind: 'checkout-failed',
      transient: false,
      message: `${repository.url}: ${revision.message}`,
    });
  }
  return revision;
}

async function readFrom(
  cache: string,
  repository: RepositoryUrl,
  revision: Revision,
  request: RemoteRequest,
): Promise<PipelineAt> {
  await prepare(cache, repository, revision.commit.length, request);
  await fetch(cache, revision, request);
  const commit = await peel(cache, revision.commit, request);
  const described = await gitText({
    ...git(cache, 'here', request),
    args: ['log', '-1', '--encoding=UTF-8', '--format=%s%x00%an <%ae>', '--end-of-options', commit],
  });
  const [title = '', author = ''] = described.split('\0');
  const text = await readText(cache, commit, request);
  const { ref } = revision;
  return {
    url: repository.url,
    projectName: repository.name,
    commit,
    text,
    title: Array.from(title).slice(0, 200).join(''),
    author,
    ...(ref === undefined ? {} : { ref }),
    ...(ref?.startsWith('refs/heads/') === true ? { branch: ref.slice('refs/heads/'.length) } : {}),
    ...(ref?.startsWith('refs/tags/') === true ? { tag: ref.slice('refs/tags/'.length) } : {}),
  };
}

async function prepare(
  cache: string,
  repository: RepositoryUrl,
  commitLength: number,
  request: RemoteRequest,
): Promise<void> {
  if ((await cacheKib(cache, request)) > maxCacheKib) await rm(cache, { recursive: true, force: true });
  const there = await stat(path.join(cache, 'HEAD')).then(
    () => true,
    () => false, // made below
  );
  if (!there) {
    await rm(cache, { recursive: true, force: true });
    await makeEmptyRepository(cache, { bare: true, commitLength, origin: remoteOf(repository) });
  }
  const set = (key: string, value: string): Promise<unknown> =>
    runGit({ ...git(cache, 'here', request), args: ['config', key, value] });
  await set('remote.origin.url', remoteOf(repository));
  // For what is fetched later, when git finds that a file's content is missing.
  if (repository.transport === 'file') await set('remote.origin.uploadpack', uploadPack());
}

async function fetch(cache: string, revision: Revision, request: RemoteRequest): Promise<void> {
  const fetched = (refspec: string, ...how: string[]): Promise<unknown> =>
    runGit({
      ...git(cache, 'remote', request),
      idleMs,
      args: [
        'fetch',
        '--quiet',
        '--no-tags',
        '--no-write-fetch-head',
        '--no-recurse-submodules',
        '--filter=blob:none',
        ...how,
        '--end-of-options',
        'origin',
        refspec,
      ],
    });
  try {
    await fetched(revision.commit, '--depth=1');
  } catch (error) {
    request.signal.throwIfAborted();
    // A server that gives no commit by its name (old, or made strict) may have it on a branch.
    if (!(error instanceof GitError) || !/not our ref|unadvertised object/i.test(error.stderr)) throw error;
    await fetched('+refs/heads/*:refs/remotes/origin/*').catch(() => {
      throw error; // the first answer says more
    });
    const found = await gitText({
      ...git(cache, 'here', request),
      args: ['rev-parse', '--quiet', '--verify', `${revision.commit}^{commit}`],
    }).catch(() => undefined); // not on a branch either
    if (found === undefined) throw error;
  }
}

/** A tag's own name was given where its commit is wanted. */
async function peel(cache: string, object: CommitId, request: RemoteRequest): Promise<CommitId> {
  const text = await gitText({
    ...git(cache, 'remote', request),
    args: ['rev-parse', '--verify', `${object}^{commit}`],
  });
  const commit = parseCommitId(text);
  if (commit === undefined) throw new Error(`git rev-parse answered ${text}`);
  return commit;
}

async function readText(
  cache: string,
  commit: CommitId,
  request: RemoteRequest,
): Promise<string | undefined> {
  const file = request.file ?? '.gantry.yml';
  const command = git(cache, 'remote', request);
  const listed = await gitText({ ...command, args: ['ls-tree', '-z', commit, '--', file] });
  const [mode, type, object] = listed.split(/[ \t]/);
  if (object === undefined || listed === '') return undefined;
  if (type !== 'blob' || mode === '120000') {
    throw wrongFile(
      `${file} at commit ${commit} is not a file, but a ${mode === '120000' ? 'symbolic link' : String(type)}`,
    );
  }
  const bytes = Number(await gitText({ ...command, args: ['cat-file', '-s', object] }));
  if (bytes > maxPipelineBytes) {
    throw wrongFile(`${file} at commit ${commit} has ${bytes} bytes, and ${maxPipelineBytes} are allowed`);
  }
  return (await runGit({ ...command, args: ['cat-file', 'blob', object] })).stdout.toString('utf8');
}

const wrongFile = (message: string): CheckoutError =>
  new CheckoutError({ kind: 'checkout-failed', transient: false, message });

async function cacheKib(cache: string, request: RemoteRequest): Promise<number> {
  const counts = await gitText({ ...git(cache, 'here', request), args: ['count-objects', '-v'] }).catch(
    () => '', // not there yet, or of no use: it is made below
  );
  return [...counts.matchAll(/^size(?:-pack)?: (\d+)$/gm)].reduce((sum, [, kib]) => sum + Number(kib), 0);
}

/** `remote`: git may fetch what it finds missing. */
function git(cache: string, reach: 'here' | 'remote', request: RemoteRequest): Omit<GitCommand, 'args'> {
  const environment = reach === 'here' ? isolatedEnvironment() : request.environment;
  return {
    environment: { ...environment, GIT_DIR: cache },
    signal: request.signal,
  };
}

const remoteOf = (repository: RepositoryUrl): string =>
  repository.transport === 'file' ? fileUrl(repository.url) : repository.url;

const localServer = (repository: RepositoryUrl, option: string): readonly string[] =>
  repository.transport === 'file' ? [option, uploadPack()] : [];
