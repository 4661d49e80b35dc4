import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { base32Of, parseProjectId, type ProjectId } from '../model/ids.js';
import type { Transport } from './git-environment.js';

/** A repository URL that Gantry does not take; the message says why and what to write instead. */
export class RepositoryUrlError extends Error {
  override readonly name = 'RepositoryUrlError';
}

export interface RepositoryUrl {
  /** What git is given: as people write it, host in lower case, without anything superfluous. */
  readonly url: string;
  /** What people recognise, the same for https, ssh and scp form: `github.com/owner/name`, or a path. */
  readonly name: string;
  readonly transport: Exclude<Transport, 'none'>;
}

const scpForm = /^(?:([^@/:\s]+)@)?(\[[0-9a-fA-F:.]+\]|[^/:@\s]+):(?!\/\/)(.+)$/;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const controls = /[\u0000-\u001f\u007f]/;

/**
 * Reads a repository's URL: `https://…`, `ssh://…`, `user@host:path`, an absolute path or `file://…`, and `http://…` to
 * this machine only. Throws `RepositoryUrlError` for anything else, for credentials in it, and for what git or ssh
 * would take for an option.
 */
export function normalizeRepositoryUrl(text: string): RepositoryUrl {
  const given = text.trim();
  if (given === '') throw new RepositoryUrlError('the repository URL is empty');
  if (controls.test(given))
    throw new RepositoryUrlError('the repository URL contains a line end or control character');
  if (given.startsWith('-')) throw new RepositoryUrlError(`a repository URL cannot start with "-": ${given}`);
  if (given.startsWith('/')) return localRepository(given);
  if (/^[a-z][a-z0-9+.-]*::/i.test(given)) {
    throw new RepositoryUrlError(
      `remote helpers are not allowed: ${shown(given)} (use https, ssh or a path)`,
    );
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) return byScheme(given);
  const scp = scpForm.exec(given);
  if (scp?.[2] !== undefined && scp[3] !== undefined) return scpRepository(scp[1], scp[2], scp[3]);
  throw new RepositoryUrlError(
    `not a repository URL: ${shown(given)} (use https://…, ssh://…, user@host:path or an absolute path)`,
  );
}

/** Identifies a project by its name: 80 bits of the name's SHA-256. */
export function projectOf(name: string): { readonly id: ProjectId; readonly name: string } {
  const id = parseProjectId(base32Of(createHash('sha256').update(name).digest()));
  if (id === undefined) throw new Error('base32Of made something that is no project id');
  return { id, name };
}

/** The URL without user and password, for showing and for naming a project after somebody's `origin`. */
export function withoutCredentials(url: string): string {
  return url
    .trim()
    .replace(/^(https?:\/\/)[^/@]*@/i, '$1')
    .replace(/^(ssh:\/\/[^/:@]*):[^/@]*@/i, '$1@');
}

/**
 * Whether this machine may read the repository, and what to give git for it. A path counts by where it really is, so
 * that a link below a root does not lead out of it. Throws `RepositoryUrlError`.
 */
export async function checkRepositoryAllowed(url: string, roots: readonly string[]): Promise<RepositoryUrl> {
  const repository = normalizeRepositoryUrl(url);
  if (repository.transport !== 'file') return repository;
  const allowed = roots.length === 0 ? 'there is none' : roots.join(', ');
  const outside = (): RepositoryUrlError =>
    new RepositoryUrlError(
      `${repository.url} is not below a repository root of this machine (${allowed}): start with --repo-root DIR to allow it`,
    );
  const real = await realpath(repository.url).catch((error: unknown) => {
    // Whether a path outside of the roots exists is nobody's business.
    if (!roots.some((root) => isBelow(path.resolve(root), repository.url))) throw outside();
    throw new RepositoryUrlError(`repository ${repository.url} does not exist on this machine`, {
      cause: error,
    });
  });
  for (const root of roots) {
    const realRoot = await realpath(root).catch(() => undefined); // a root that is away allows nothing
    if (realRoot !== undefined && isBelow(realRoot, real)) return { ...repository, url: real };
  }
  throw outside();
}

function isBelow(root: string, file: string): boolean {
  const relative = path.relative(root, file);
  return relative === '' || (!relative.startsWith('../') && relative !== '..' && !path.isAbsolute(relative));
}

function byScheme(given: string): RepositoryUrl {
  const parsed = URL.parse(given);
  if (parsed === null) throw new RepositoryUrlError(`not a repository URL: ${shown(given)}`);
  const scheme = parsed.protocol.slice(0, -1);
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new RepositoryUrlError(`a repository URL has no "?" or "#" in it: ${shown(given)}`);
  }
  switch (scheme) {
    case 'file':
      if (parsed.host !== '' && parsed.host !== 'localhost') {
        throw new RepositoryUrlError(`a file URL cannot name another machine: ${shown(given)}`);
      }
      return localRepository(decoded(parsed.pathname, given));
    case 'https':
    case 'http':
      return httpRepository(parsed, scheme, given);
    case 'ssh':
      return sshRepository(parsed, given);
    default:
      throw new RepositoryUrlError(
        `${scheme}:// is not allowed: ${shown(given)} (use https, ssh or an absolute path)`,
      );
  }
}

function httpRepository(parsed: URL, scheme: 'http' | 'https', given: string): RepositoryUrl {
  if (parsed.username !== '' || parsed.password !== '') {
    throw new RepositoryUrlError(
      `credentials in a repository URL end up in logs and in everybody's clones: write ${withoutCredentials(given)}`,
    );
  }
  if (scheme === 'http' && !isLoopback(parsed.hostname)) {
    throw new RepositoryUrlError(
      `http:// is allowed to this machine only, anybody on the way could change the code: use https for ${parsed.hostname}`,
    );
  }
  const location = trimmed(parsed.pathname);
  requirePath(location, given);
  return {
    url: `${scheme}://${parsed.host}${location}`,
    name: `${parsed.host}${withoutSuffix(location)}`,
    transport: scheme,
  };
}

function sshRepository(parsed: URL, given: string): RepositoryUrl {
  if (parsed.password !== '') {
    throw new RepositoryUrlError(
      `a password in a repository URL ends up in logs and in everybody's clones: write ${withoutCredentials(given)}`,
    );
  }
  const user = decoded(parsed.username, given);
  // The URL class leaves the case of hosts of schemes that it does not know.
  const host = parsed.hostname.toLowerCase();
  const port = parsed.port === '' || parsed.port === '22' ? '' : `:${parsed.port}`;
  requireHost(user, host, given);
  const location = trimmed(parsed.pathname);
  requirePath(location, given);
  return {
    url: `ssh://${user === '' ? '' : `${user}@`}${host}${port}${location}`,
    name: `${host}${port}${withoutSuffix(location)}`,
    transport: 'ssh',
  };
}

function scpRepository(user: string | undefined, host: string, location: string): RepositoryUrl {
  const lower = host.toLowerCase();
  requireHost(user ?? '', lower, `${host}:${location}`);
  const kept = trimmed(location);
  requirePath(kept, `${host}:${location}`);
  // The scp form stays what it is: its path is relative to the user's home, that of ssh:// is not.
  return {
    url: `${user === undefined ? '' : `${user}@`}${lower}:${kept}`,
    name: `${lower}/${withoutSuffix(kept).replace(/^\//, '')}`,
    transport: 'ssh',
  };
}

function localRepository(given: string): RepositoryUrl {
  const url = path.resolve(given);
  return { url, name: withoutSuffix(url), transport: 'file' };
}

function requireHost(user: string, host: string, given: string): void {
  // `ssh -oProxyCommand=…` by a host name: the trick is old and git refuses it too.
  if (host === '' || host.startsWith('-') || user.startsWith('-')) {
    throw new RepositoryUrlError(`not a host that ssh can go to: ${shown(given)}`);
  }
}

function requirePath(location: string, given: string): void {
  if (location === '' || location === '/') {
    throw new RepositoryUrlError(`the URL names no repository, only a host: ${shown(given)}`);
  }
  if (location.startsWith('-')) {
    throw new RepositoryUrlError(`a path in a repository URL cannot start with "-": ${shown(given)}`);
  }
}

const trimmed = (location: string): string => location.replace(/\/+$/, '');

function withoutSuffix(location: string): string {
  const stripped = location.replace(/\/+\.git$/, '').replace(/\.git$/, '');
  return stripped === '' || stripped.endsWith('/') ? location : stripped;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function decoded(text: string, given: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RepositoryUrlError(`the URL has a "%" that is no escape: ${shown(given)}`);
  }
}

/** In messages: never with what may be a password. */
const shown = (url: string): string => withoutCredentials(url).slice(0, 300);
