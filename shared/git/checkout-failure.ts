import type { Failure } from '../model/failure.js';
import { GitAccessError } from './git-access.js';
import { GitError } from './git-program.js';
import { RepositoryUrlError, withoutCredentials } from './repository-url.js';

/** Getting the code failed. Carries the failure to report: `checkout-failed` or `disk-full`. */
export class CheckoutError extends Error {
  override readonly name = 'CheckoutError';

  constructor(
    readonly failure: Extract<Failure, { kind: 'checkout-failed' | 'disk-full' }>,
    cause?: unknown,
  ) {
    super(failure.message, cause === undefined ? undefined : { cause });
  }
}

export interface CheckoutContext {
  /** Who tried, for people: `agent build-7`, `the coordinator`. */
  readonly place: string;
  /** The repository's URL, or `the submitted tree`. */
  readonly repository: string;
  /** Commit, branch or tag that was wanted. */
  readonly revision?: string;
}

interface Rule {
  readonly pattern: RegExp;
  readonly transient: boolean;
  readonly message: (context: CheckoutContext) => string;
}

const wanted = (context: CheckoutContext): string =>
  context.revision === undefined ? 'what was asked for' : context.revision;

const notOnRemote =
  /not our ref|couldn't find remote ref|Server does not allow request for unadvertised object|no such remote ref/i;

// In this order: a server that demands credentials often says "not found" as well, and one that is away "early EOF".
const rules: readonly Rule[] = [
  {
    pattern: /No space left on device|Disk quota exceeded/i,
    transient: true,
    message: (c) => `the disk of ${c.place} is full`,
  },
  {
    pattern: /cannot run (?:ssh|git-remote-https?)|is not a git command|unable to find remote helper/i,
    transient: false,
    message: (c) =>
      `${c.place} lacks a program to reach ${c.repository}: install ssh and the whole of git there`,
  },
  {
    pattern: /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/i,
    transient: false,
    message: (c) =>
      `the ssh key of the host of ${c.repository} is not the one that is known: check it, then correct the project's known hosts (gantry projects set --ssh-key … --known-hosts …), or without a key of the project known_hosts of the user that runs ${c.place}`,
  },
  {
    pattern:
      /could not read (?:Username|Password)|Authentication failed|terminal prompts disabled|unable to read askpass|Permission denied \(|error: 40[13]\b|HTTP 40[13]\b|Access denied/i,
    transient: false,
    message: (c) =>
      `${c.repository} demands credentials that ${c.place} does not have (or refused those it has): give the project a token or an ssh key with access (gantry projects set)`,
  },
  {
    pattern:
      /Could not resolve host|Temporary failure in name resolution|Name or service not known|Connection refused|Failed to connect|Couldn't connect|Connection timed out|Operation timed out|Operation too slow|timed out|Connection reset|Network is unreachable|No route to host|unable to connect to|SSL_connect|gnutls_handshake|GnuTLS recv|TLS connection was non-properly terminated|Empty reply from server|error: 5\d\d\b|error: 429\b|HTTP 5\d\d\b|HTTP 429\b|unexpected disconnect|early EOF|Broken pipe|Connection closed by|kex_exchange_identification/i,
    transient: true,
    message: (c) => `${c.repository} is not reachable from ${c.place}`,
  },
  {
    pattern:
      /certificate (?:verify failed|problem)|server certificate verification failed|self.signed certificate/i,
    transient: false,
    message: (c) =>
      `the certificate of the host of ${c.repository} is not trusted by ${c.place}: install its authority there (or name it by SSL_CERT_FILE)`,
  },
  {
    pattern: notOnRemote,
    transient: false,
    message: (c) =>
      `${c.repository} has no ${wanted(c)}: push it first, or check that it was not removed by a forced push`,
  },
  {
    pattern:
      /repository '?[^\n]*'? not found|Repository not found|does not appear to be a git repository|not a git repository|does not exist|error: 404\b|HTTP 404\b|No such file or directory/i,
    transient: false,
    message: (c) =>
      `${c.place} finds no git repository at ${c.repository}: check the URL and that it may be read`,
  },
  {
    pattern: /invalid path '|refusing to create|is a reserved name/i,
    transient: false,
    message: (c) => `${wanted(c)} of ${c.repository} contains a path that git refuses to write`,
  },
];

/** Turns whatever went wrong while git worked into the failure to report, with git's own words behind ours. */
export function checkoutError(error: unknown, context: CheckoutContext): CheckoutError {
  if (error instanceof CheckoutError) return error;
  const shownContext = { ...context, repository: withoutCredentials(context.repository) };
  if (error instanceof RepositoryUrlError || error instanceof GitAccessError)
    return failed(`${context.place}: ${error.message}`, false, error);
  if (!(error instanceof GitError)) {
    const message = error instanceof Error ? error.message : String(error);
    if (/ENOSPC|EDQUOT/.test(message)) return diskFull(context, message, error);
    return failed(`${context.place} could not get the code: ${message}`, true, error);
  }
  const { failure } = error;
  if (failure.kind === 'stalled') {
    return failed(
      `${shownContext.repository} sent nothing to ${context.place} for ${Math.round(failure.idleMs / 1000)} s`,
      true,
      error,
    );
  }
  if (failure.kind === 'git-missing' || failure.kind === 'output-limit') {
    return failed(`${context.place}: ${error.message}`, true, error);
  }
  const words = gitsWords(failure.stderr);
  const rule = rules.find(({ pattern }) => pattern.test(failure.stderr));
  if (rule === rules[0]) return diskFull(context, words, error);
  if (rule === undefined) {
    return failed(
      `git failed on ${context.place} while getting ${wanted(context)} of ${shownContext.repository}: ${words}`,
      true,
      error,
    );
  }
  return failed(`${rule.message(shownContext)} (git: ${words})`, rule.transient, error);
}

const damage =
  /bad object|corrupt|not a git repository|loose object|inflate|unable to read|missing (?:blob|tree|commit)|index-pack died|object file .* is empty|packfile .* (?:cannot be accessed|is far too short|does not match index)|did not receive expected object|could not read [0-9a-f]{40}|failed to (?:read object|traverse parents)|unresolved deltas|invalid (?:HEAD|index-pack output)|bad (?:config|ref|tree|index|signature)|not a valid object/i;

/** Whether the other side has not what was asked for. */
export const isNotOnRemote = (error: GitError): boolean => notOnRemote.test(error.stderr);

/**
 * Whether git's words say that the copy on this machine is damaged, so that making it anew is worth a try. What the other
 * side said (`remote:`) is about its own copy, and so is a `bad object` that it does not have.
 */
export function looksDamaged(error: unknown): boolean {
  if (!(error instanceof GitError) || isNotOnRemote(error)) return false;
  const own = error.stderr.split('\n').filter((line) => !line.startsWith('remote:'));
  return own.some((line) => damage.test(line));
}

function failed(message: string, transient: boolean, cause: unknown): CheckoutError {
  return new CheckoutError({ kind: 'checkout-failed', message, transient }, cause);
}

function diskFull(context: CheckoutContext, words: string, cause: unknown): CheckoutError {
  const agent = context.place.replace(/^agent /, '');
  return new CheckoutError(
    { kind: 'disk-full', agent, message: `no space left for the code: ${words}` },
    cause,
  );
}

/** The lines of stderr that say something, joined, at most 600 characters; no URL in them keeps a password. */
function gitsWords(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(?:hint|warning):/.test(line))
    .map((line) => line.replace(/(https?:\/\/)[^/@\s]*@/gi, '$1'));
  return (lines.length === 0 ? 'no message' : lines.join('; ')).slice(0, 600);
}
