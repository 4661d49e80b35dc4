/** Why a box did not start, for people. Pure. */
import { daemonError, isUnreachable, statusOf, wordsOf } from './docker-daemon.js';
import { ExecutorError } from './executor.js';
import { requiredPrograms, type Greeting } from './supervisor.js';

const needs = `Gantry runs steps by a shell and needs ${requiredPrograms.join(', ')} in the image (any image with busybox or coreutils and util-linux has them)`;

/** From the daemon's answer to `create` or `start`. */
export function boxStartError(
  error: unknown,
  box: { readonly image: string; readonly user: string | undefined },
): unknown {
  if (isUnreachable(error)) return daemonError(error, 'start a box');
  const status = statusOf(error);
  if (status === undefined) return error;
  const words = wordsOf(error);
  const unavailable = (message: string, transient: boolean): ExecutorError =>
    new ExecutorError({ kind: 'image-unavailable', image: box.image, message, transient }, { cause: error });
  if (/no such image/i.test(words)) return unavailable('it was removed from this agent just now', true);
  if (
    /executable file not found|no such file or directory: unknown|permission denied: unknown|exec format error/i.test(
      words,
    )
  ) {
    return unavailable(`it has no usable "sh" (${words}): ${needs}`, false);
  }
  if (/unable to find (?:user|group)|no matching entries in passwd|invalid user/i.test(words)) {
    const message = `user: ${box.user ?? 'of the image'}: ${words}`;
    return new ExecutorError({ kind: 'invalid-pipeline', message }, { cause: error });
  }
  if (/bind source path does not exist/i.test(words)) {
    const message = `the Docker daemon does not see the agent's data directory (${words}): run the agent on the daemon's machine, or mount the directory at the same path on both sides`;
    return new ExecutorError({ kind: 'box-broken', message }, { cause: error });
  }
  return daemonError(error, 'start a box');
}

/** From what the supervisor said first, or that it said nothing. */
export function greetingError(
  said: Greeting | undefined,
  box: {
    readonly image: string;
    readonly state: { readonly Running: boolean; readonly ExitCode: number; readonly Error: string };
  },
): ExecutorError {
  switch (said?.kind) {
    case 'missing': {
      const message = `it has no "${said.program}": ${needs}`;
      return new ExecutorError({ kind: 'image-unavailable', image: box.image, message, transient: false });
    }
    case 'unreadable':
    case 'ready': {
      const message =
        'the box does not see the files that the agent wrote for it: agent and Docker daemon must share one file system (run them on one machine)';
      return new ExecutorError({ kind: 'box-broken', message });
    }
    case undefined: {
      const { Running: running, ExitCode: code, Error: why } = box.state;
      const message = running
        ? 'the box started, but its supervisor did not answer'
        : `the box ended before its first step (exit code ${code}${why === '' ? '' : `, ${why}`})`;
      return new ExecutorError({ kind: 'box-broken', message });
    }
  }
}
