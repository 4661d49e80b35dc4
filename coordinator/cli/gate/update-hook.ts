/** The hook that lets only the gate push to its targets: `hooks/update` of a repository on a git server. Plain sh. */

export interface UpdateHook {
  /** Id, for whoever finds the hook. */
  readonly project: string;
  /** Full names. */
  readonly refs: readonly string[];
  /** SHA-256 of what the gate shows to a repository on its own machine. */
  readonly tokenDigest: string;
  /** Whom the server knows the gate as. */
  readonly users: readonly string[];
}

/** By which the hook is known as ours, whatever version wrote it. */
export const hookMark = '# gantry gate protect';

export function updateHook({ project, refs, tokenDigest, users }: UpdateHook): string {
  const names = users.map(quoted).join(' ');
  return `#!/bin/sh
${hookMark} ${project}
# Only the integration gate moves the branches below; everything else passes. Written by \`gantry gate protect\`.
# The gate is known by a secret in its environment where git runs on its own machine, else by the user the server says.
case "$1" in
  ${refs.map(quoted).join(' | ')}) ;;
  *) exit 0 ;;
esac
if [ -n "\${GANTRY_GATE_TOKEN:-}" ]; then
  digest=$(printf %s "$GANTRY_GATE_TOKEN" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)
  [ "$digest" = ${quoted(tokenDigest)} ] && exit 0
fi
pusher=\${REMOTE_USER:-\${GL_USERNAME:-$(id -un)}}
for user in ${names === '' ? '""' : names}; do
  [ -n "$user" ] && [ "$pusher" = "$user" ] && exit 0
done
echo "gantry gate: protected: $1 is moved by the integration gate alone." >&2
echo "Push your change to a branch of its own, then: gantry land BRANCH" >&2
exit 1
`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
