/** The manifest of an attempt's artifacts, `manifest.json` in storage. The journal holds its SHA-256. */
import type { Sha256 } from './ids.js';

/**
 * A path as bytes: `path` where it is valid UTF-8, else `pathBase64`. Relative to the workspace, `/`-separated,
 * never empty, no `.` or `..` component.
 */
export type FilePath = { readonly path: string } | { readonly pathBase64: string };

export type FileEntry = FilePath & {
  /** Permission bits, e.g. 0o755. */
  readonly mode: number;
  readonly size: number;
  readonly sha256: Sha256;
  /** Present for a symbolic link: its target (relative, inside the artifact's tree). Then size is 0. */
  readonly link?: string;
  /** In a seekable `.tar.gz`: the gzip member that holds the file, and where its bytes start in the inflated member. */
  readonly where?: {
    readonly memberOffset: number;
    readonly memberBytes: number;
    readonly dataOffset: number;
  };
};

export interface ManifestArtifact {
  readonly number: number;
  readonly name: string;
  /** `file`: the object is the file. `tar`: a seekable `.tar.gz` of all files. */
  readonly form: 'file' | 'tar';
  /** Of the stored object. */
  readonly bytes: number;
  readonly sha256: Sha256;
  readonly files: readonly FileEntry[];
}

export interface Manifest {
  readonly v: 1;
  readonly artifacts: readonly ManifestArtifact[];
}

/**
 * The path itself where it may be joined to a directory without leaving it: relative, no empty, `.` or `..` component, no
 * NUL. Everything that writes a file by a path from a manifest asks first. Takes bytes read as Latin-1 as well.
 */
export function safeRelativePath(path: string): string | undefined {
  if (path === '' || path.includes('\0')) return undefined;
  const safe = path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  return safe ? path : undefined;
}

/**
 * Whether a symbolic link at the (safe) path points below the directory that the path is relative to, whatever other
 * such links there are. So `..` may stand at the start of the target only: behind a name it would lead to the parent of
 * what that name is linked to.
 */
export function linkStaysInside(path: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const names = parts.findIndex((part) => part !== '..');
  const ups = names === -1 ? parts.length : names;
  if (parts.slice(ups).includes('..')) return false;
  return ups <= path.split('/').length - 1;
}
