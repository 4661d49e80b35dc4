import { isUtf8 } from 'node:buffer';
import type { FilePath } from '../model/artifact.js';

/** Names of files are bytes. In JSON they are text where they are valid UTF-8, else base64; nothing is lost either way. */
export const filePathOf = (path: Buffer): FilePath =>
  isUtf8(path) ? { path: path.toString() } : { pathBase64: path.toString('base64') };

export const bytesOfFilePath = (path: FilePath): Buffer =>
  'path' in path ? Buffer.from(path.path) : Buffer.from(path.pathBase64, 'base64');

/** For messages: what is not valid UTF-8 is shown by replacement characters, control characters by escapes. */
export const showPath = (path: Buffer): string => JSON.stringify(path.toString());

/**
 * Why a path must not be joined to a directory, or `undefined`: only relative paths without empty, `.` and `..` components stay below it (links
 * on the way are another matter).
 */
export function unsafeReason(path: Buffer): string | undefined {
  if (path.length === 0) return 'it is empty';
  if (path.includes(0)) return 'it holds a NUL byte';
  // Each byte a character: only ASCII is compared.
  const components = path.toString('latin1').split('/');
  if (components[0] === '') return 'it is absolute';
  if (components.includes('..')) return 'it leaves the directory by ".."';
  if (components.includes('.') || components.includes('')) return 'it has an empty or "." component';
  return undefined;
}
