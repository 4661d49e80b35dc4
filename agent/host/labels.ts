/** What an agent offers by itself, and what its operator adds. */
import { arch, hostname, platform } from 'node:os';

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
};

/** `os=linux arch=amd64`: the words of container images. */
export function detectedLabels(): readonly string[] {
  return [`os=${platform()}`, `arch=${architectures[arch()] ?? arch()}`];
}

/** A label is a word or `key=value`; keys and values are short and safe in every place they are shown. */
export const labelPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(?:=[A-Za-z0-9][A-Za-z0-9._/:-]{0,62})?$/;

/** Sorted, unique. Detected keys cannot be claimed otherwise: `os=windows` on Linux would only make stages fail. */
export function allLabels(own: readonly string[], executor: readonly string[]): readonly string[] {
  const detected = [...detectedLabels(), ...executor];
  const keys = new Set(detected.map(keyOf));
  return [...new Set([...detected, ...own.filter((label) => !keys.has(keyOf(label)))])].sort();
}

const keyOf = (label: string): string => label.split('=', 1)[0] ?? label;

export const defaultName = (): string => hostname();
