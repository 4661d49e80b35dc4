/**
 * Log files of daemons. A daemon writes into its file by itself, not through a pipe of `up`, so it lives on when `up` is
 * killed. That is why rotation copies the file and truncates it: the daemon keeps its descriptor, opened for appending.
 * What is written between the copy and the truncation is lost; it is a log for people, never the truth.
 */
import { copyFileSync, mkdirSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

const maxBytes = 16 * 1024 * 1024;

export const logFileOf = (directory: string, name: string): string => join(directory, `${name}.log`);

/** A descriptor for a child's stdout and stderr. */
export function openLog(directory: string, name: string): number {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return openSync(logFileOf(directory, name), 'a', 0o600);
}

/** Keeps one earlier file, `<name>.log.1`. */
export function rotateLog(directory: string, name: string, bound = maxBytes): boolean {
  const file = logFileOf(directory, name);
  try {
    if (statSync(file).size <= bound) return false;
    copyFileSync(file, `${file}.1`);
    truncateSync(file);
    return true;
  } catch {
    return false; // not there yet, or no room to copy: the next turn tries again
  }
}

/** The last lines, readable, for a message when a daemon does not start. */
export function lastLines(directory: string, name: string, lines = 8): readonly string[] {
  try {
    const text = readFileSync(logFileOf(directory, name), 'utf8').slice(-16_384);
    return text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-lines)
      .map(readable);
  } catch {
    return [];
  }
}

/** Of a JSON line of our daemons its message and its error; any other line as it is. */
function readable(line: string): string {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null || !('msg' in value)) return line;
    const error = 'err' in value && typeof value.err === 'object' ? value.err : null;
    const why =
      error !== null && 'message' in error && error.message !== value.msg ? `: ${String(error.message)}` : '';
    return `${String(value.msg)}${why}`;
  } catch {
    return line; // NATS, or a line cut by the bound
  }
}
