import type { Readable } from 'node:stream';
import type { FileEntry } from '../model/artifact.js';
import type { Sha256 } from '../model/ids.js';

/** What goes into a seekable `.tar.gz`. */
export type TarInput =
  | {
      readonly kind: 'file';
      /** Relative, `/`-separated. */
      readonly path: Buffer;
      /** Permission bits. */
      readonly mode: number;
      readonly size: number;
      /** Default: 2000-01-01, so that the same files give the same archive. (`tar` warns of 1970.) */
      readonly mtimeMs?: number;
      /** Called once, when its turn comes; it must give exactly `size` bytes. A stream is destroyed, a descriptor closed afterwards. */
      open(): Promise<Readable | { readonly fd: number }>;
    }
  | { readonly kind: 'link'; readonly path: Buffer; readonly target: string };

export interface PackedTar {
  /** Of the archive. */
  readonly bytes: number;
  readonly sha256: Sha256;
  /** In the order of the input, which is not always the order in the archive. */
  readonly files: readonly FileEntry[];
}

export interface PackOptions {
  /** Takes the archive's bytes in order; the next ones come when its promise is fulfilled. */
  readonly write: (chunk: Buffer) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** A file of an archive that is read whole. */
export interface UnpackedFile {
  readonly entry: FileEntry;
  readonly path: Buffer;
  /** Empty for a link. Read it before the next file is asked for; its end throws `verification-failed` for wrong bytes. */
  readonly content: AsyncIterable<Buffer>;
}
