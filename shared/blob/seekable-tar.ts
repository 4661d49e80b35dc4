/**
 * A *seekable* `.tar.gz`: several gzip members one after the other, which any `tar xzf` reads as one archive. Small files
 * share a member of about 256 kB, a big file has its own, so that one file is one range request. Content that does not
 * get smaller is stored. Paths are bytes (`Buffer`), because names of files are; `file-path.ts` brings them into JSON.
 */
export { packTar } from './pack-tar.js';
export type { PackedTar, PackOptions, TarInput, UnpackedFile } from './tar-types.js';
export { readPackedFile, unpackTar } from './unpack-tar.js';
