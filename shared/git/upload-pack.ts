/**
 * The serving side of a fetch from a repository on this machine, as `--upload-pack` wants it: a shell command.
 *
 * git clears the configuration in the environment before it starts it, so the settings stand in the command. Any commit
 * may be asked for by name, and filters are answered. The repository may belong to another user: the operator named the
 * root it is below.
 *
 * `quick`: without search for deltas and without compression. A shallow fetch makes a new pack, and searching takes
 * 0.8 s of 1.05 for 5,000 files, where copying 12 MB instead of 5 costs nothing on one machine.
 */
export function uploadPack(mode: 'thorough' | 'quick' = 'thorough'): string {
  const settings = [
    'safe.directory=*',
    'uploadpack.allowAnySHA1InWant=true',
    'uploadpack.allowFilter=true',
    ...(mode === 'quick' ? ['pack.window=0', 'pack.compression=0'] : []),
  ];
  return `git ${settings.map((setting) => `-c '${setting}'`).join(' ')} upload-pack`;
}

/**
 * The receiving side of a push to a repository on this machine, as `--receive-pack` wants it. Its own configuration and
 * hooks count, as they do for everybody who pushes to it.
 */
export const receivePack = (): string => "git -c 'safe.directory=*' receive-pack";

/** A directory as the file transport wants it; git decodes percent escapes in it. */
export const fileUrl = (directory: string): string =>
  `file://${directory.split('/').map(encodeURIComponent).join('/')}`;
