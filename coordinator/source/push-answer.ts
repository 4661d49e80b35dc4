/** What became of a push of one ref, read from what git said. Pure. */

export type PushOutcome =
  | { readonly kind: 'pushed' }
  /** The ref was not where the push said. */
  | { readonly kind: 'moved' }
  /** A hook of the server looked at the content; `message` is the server's. */
  | { readonly kind: 'refused-content'; readonly message: string }
  /** Credentials, or a protection of the branch. */
  | { readonly kind: 'refused-credentials'; readonly message: string }
  /** It may have been pushed. */
  | { readonly kind: 'unknown'; readonly message: string };

/** Said by the hook of `gantry gate protect`. */
export const protectedWords = 'gantry gate: protected';

/** Of servers that call their protection a hook: GitLab, GitHub, Gitea, Gitolite, Bitbucket. */
const protection =
  /protected branch|branch protection|not allowed to (?:force )?(?:push|update|create|delete)|not permitted|permission denied|insufficient permission|you (?:do not|don't) have permission|GH006|GH013|prohibited by Gerrit|DENIED by|pre-receive hook declined due to permissions/i;

const credentials =
  /could not read (?:Username|Password)|Authentication failed|terminal prompts disabled|Permission (?:to .* )?denied|error: 40[13]\b|HTTP 40[13]\b|Access denied|Host key verification failed|insufficient permission for adding an object|unpacker error.*permission|read.only|archived so it is read-only/i;

/** `stderr`: of a push that did not end with 0. */
export function readPush(stderr: string): PushOutcome {
  const line = stderr.split('\n').find((text) => /^ ?! \[/.test(text)) ?? '';
  const words = serverWords(stderr);
  if (/\((?:stale info|fetch first|non-fast-forward)\)$/.test(line)) return { kind: 'moved' };
  if (line.includes('[remote rejected]')) return rejected(line, words);
  // The server said nothing of the ref: it may have been moved all the same.
  if (!line.includes('[remote failure]') && credentials.test(stderr)) {
    return { kind: 'refused-credentials', message: words };
  }
  return { kind: 'unknown', message: words };
}

function rejected(line: string, words: string): PushOutcome {
  const why = /\(([^()]*(?:\([^()]*\))?[^()]*)\)$/.exec(line)?.[1] ?? line;
  const message = words === noWords ? why : words;
  if (/failed to update ref|failed to lock|cannot lock ref|incorrect old value|fetch first/i.test(why)) {
    return { kind: 'moved' };
  }
  if (/hook declined/i.test(why)) {
    const isProtection = words.includes(protectedWords) || protection.test(words);
    return { kind: isProtection ? 'refused-credentials' : 'refused-content', message };
  }
  if (/unpacker error|remote unpack failed/i.test(why)) return { kind: 'unknown', message };
  // `branch is currently checked out`, `deletion prohibited`, `protected branch`: nobody's content is to blame.
  return { kind: 'refused-credentials', message };
}

const noWords = 'the server gave no reason';

/** What the server said, else what git says; at most 1,000 characters. */
export function serverWords(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trimEnd());
  const remote = lines
    .filter((line) => line.startsWith('remote:'))
    .map((line) => line.slice('remote:'.length).trim())
    // git's own, behind what a hook said.
    .filter((line) => !line.startsWith('error: hook declined to update '));
  const own = lines
    .filter((line) => !line.startsWith('remote:') && !/^(?:hint:|warning:|To )/.test(line))
    .map((line) => line.replace(/(https?:\/\/)[^/@\s]*@/gi, '$1').trim());
  const said = (remote.some((line) => line !== '') ? remote : own).filter((line) => line !== '').join('\n');
  return said === '' ? noWords : said.slice(0, 1_000);
}
