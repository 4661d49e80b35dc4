import { durationPattern, parseDuration, showDuration } from './duration.js';
import { limits } from './limits.js';
import { code, quoted } from './words.js';

/** What expanded texts must look like. Each check gives what is wrong, or undefined. */
export interface Wrong {
  readonly message: string;
  readonly hint?: string;
}

// The grammar of image references: an optional registry, a lower-case path, tag, digest.
const imagePattern = new RegExp(
  '^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?' +
    '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)*' +
    '(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-f]{32,})?$',
);

export function wrongImage(text: string): Wrong | undefined {
  if (text.trim() === '') return { message: 'the name of the image is empty' };
  if (text.length <= 512 && imagePattern.test(text)) return undefined;
  const lower = text.toLowerCase();
  return {
    message: `${quoted(text)} is not the name of an image`,
    hint:
      lower !== text && imagePattern.test(lower)
        ? `names of images are lower-case: ${lower}`
        : 'expected such as python:3.12 or registry.example.org/team/app:1.0',
  };
}

const userPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$/;

export function wrongUser(text: string): Wrong | undefined {
  if (userPattern.test(text)) return undefined;
  return {
    message: `${quoted(text)} is not a user`,
    hint: 'expected a name or number, such as node, 1000 or 1000:1000',
  };
}

const labelPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(?:=[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,62})?$/;

export function wrongLabel(text: string): Wrong | undefined {
  if (labelPattern.test(text)) return undefined;
  return {
    message: `${quoted(text)} is not a label`,
    hint: 'expected a word or key=value, such as gpu or arch=arm64',
  };
}

export function wrongDuration(text: string): Wrong | undefined {
  const ms = parseDuration(text);
  if (ms === undefined || !durationPattern.test(text))
    return { message: `${quoted(text)} is not a duration`, hint: 'write 90s, 10m, 1h30m or 2d' };
  if (ms === 0) return { message: 'a timeout of zero would end it before it begins' };
  if (ms > limits.timeoutMs) return { message: `a timeout is at most ${showDuration(limits.timeoutMs)}` };
  return undefined;
}

/** Paths and patterns stay below the workspace. */
export function wrongPath(text: string): Wrong | undefined {
  const hint = 'paths are relative to the workspace, the directory with the code';
  if (text.trim() === '') return { message: 'the path is empty', hint };
  if (text.startsWith('/')) return { message: `${quoted(text)} is an absolute path`, hint };
  if (text.startsWith('~/') || text === '~')
    return { message: `${quoted(text)} is a path of the home directory`, hint };
  if (text.split('/').includes('..'))
    return { message: `${quoted(text)} leaves the workspace: ${code('..')}`, hint };
  // eslint-disable-next-line no-control-regex -- no system call takes NUL in a path
  if (/[\u0000\n]/.test(text)) return { message: `${quoted(text)} is not a path` };
  return undefined;
}

export function wrongVariable(text: string): Wrong | undefined {
  return text.includes('\u0000') ? { message: 'a variable cannot hold the NUL character' } : undefined;
}

export function wrongSecret(text: string): Wrong | undefined {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return undefined;
  return {
    message: `${quoted(text)} cannot be the name of a secret`,
    hint: 'letters, digits and `_`, such as TOKEN',
  };
}

export function wrongScript(text: string): Wrong | undefined {
  if (text.trim() === '') return { message: 'the command is empty' };
  return text.includes('\u0000') ? { message: 'a command cannot hold the NUL character' } : undefined;
}

/** `./a//b/` is `a/b`, `.` is nothing: the workspace itself. */
export function normalPath(text: string): string | undefined {
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length === 0 ? undefined : parts.join('/');
}
