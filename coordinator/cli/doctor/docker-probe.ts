import Docker from 'dockerode';
import { messageOf } from '../cli-error.js';

export type DockerProbe =
  | {
      readonly kind: 'answers';
      readonly version: string;
      readonly apiVersion: string;
      readonly storage: string;
      readonly root: string;
    }
  | { readonly kind: 'absent'; readonly reason: string };

/** Asks the daemon that `DOCKER_HOST` names, or the usual socket. */
export async function probeDocker(timeoutMs = 5000): Promise<DockerProbe> {
  try {
    const docker = new Docker({ timeout: timeoutMs });
    const version = await docker.version();
    const info: unknown = await docker.info();
    return {
      kind: 'answers',
      version: version.Version,
      apiVersion: version.ApiVersion,
      storage: textOf(info, 'Driver'),
      root: textOf(info, 'DockerRootDir'),
    };
  } catch (error) {
    return { kind: 'absent', reason: reasonOf(error) };
  }
}

function textOf(value: unknown, key: string): string {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return typeof found === 'string' ? found : '';
}

function reasonOf(error: unknown): string {
  const text = messageOf(error);
  if (/ENOENT/.test(text)) return 'its socket is not there (not installed, or not running)';
  if (/EACCES/.test(text))
    return 'this user may not use its socket (add the user to the group docker, or be root)';
  if (/ECONNREFUSED/.test(text)) return 'its socket is there, but nobody listens (the daemon is not running)';
  return text;
}
