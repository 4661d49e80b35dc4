import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** Where one installation on this machine keeps everything. */
export interface DataDir {
  readonly root: string;
  readonly keys: string;
  readonly logs: string;
  readonly upFile: string;
  readonly lockFile: string;
  readonly natsStore: string;
  readonly storage: string;
  readonly cache: string;
  readonly agents: string;
  /** Name of the context that `up` writes. */
  readonly contextName: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** `--data`, `GANTRY_DATA`, or `gantry` below `XDG_STATE_HOME`. */
export function dataDir(given: string | undefined, env: Env): DataDir {
  const usual = usualRoot(env);
  const asked = given ?? env['GANTRY_DATA'] ?? '';
  const root = asked === '' ? usual : resolve(asked);
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 6);
  return {
    root,
    keys: join(root, 'keys'),
    logs: join(root, 'logs'),
    upFile: join(root, 'up.json'),
    lockFile: join(root, 'up.lock'),
    natsStore: join(root, 'nats'),
    storage: join(root, 'storage'),
    cache: join(root, 'cache'),
    agents: join(root, 'agents'),
    contextName: root === usual ? 'local' : `local-${hash}`,
  };
}

function usualRoot(env: Env): string {
  const state = env['XDG_STATE_HOME'] ?? '';
  const home = (env['HOME'] ?? '') === '' ? homedir() : (env['HOME'] ?? '');
  return join(isAbsolute(state) ? state : join(home, '.local', 'state'), 'gantry');
}
