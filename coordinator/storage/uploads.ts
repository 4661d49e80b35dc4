import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Body } from './body.js';
import { writeBody, writeTemporary } from './body-file.js';
import { renameInto, syncDirectory } from './durable.js';
import { ignoringMissing, S3Error } from './errors.js';
import { KeyLocks } from './key-locks.js';
import { readRecord } from './object-record.js';
import type { ObjectRecord } from './object-record.js';
import type { ObjectTree } from './object-tree.js';

const uploadShape = z.object({
  v: z.literal(1),
  key: z.string(),
  startedAt: z.number(),
  headers: z.record(z.string(), z.string()),
  meta: z.record(z.string(), z.string()),
});
const piecesShape = z.array(z.object({ part: z.number(), bytes: z.number() }));

export type Upload = Readonly<z.infer<typeof uploadShape>> & { readonly id: string };
/** A part as it lies in a completed object, in order. */
export type Piece = Readonly<z.infer<typeof piecesShape>[number]>;
export interface Part {
  readonly part: number;
  readonly record: ObjectRecord;
}

/** S3's limits. */
export const maxParts = 10_000;
const minPartBytes = 5 * 1024 * 1024;

/**
 * Multipart uploads of one bucket: a directory each, with a file for each part. Completing one copies nothing: the object becomes a record that
 * names the upload, and the parts stay where they are (500 MB complete in a millisecond). Whether an upload is completed
 * is decided by one fact, that the object of its key names it; so there is no state in between for a crash to leave.
 */
export class Uploads {
  readonly #locks = new KeyLocks();
  /** Readers of an upload's parts; those that were released meanwhile are removed when the last one is done. */
  readonly #readers = new Map<string, number>();
  readonly #released = new Set<string>();

  constructor(
    readonly root: string,
    /** On the same file system: for files being written and directories being removed. */
    readonly temporary: string,
  ) {}

  async create(key: string, described: Pick<Upload, 'headers' | 'meta'>): Promise<string> {
    const id = randomBytes(16).toString('hex');
    const making = join(this.temporary, id);
    await mkdir(making, { mode: 0o700 });
    const { headers, meta } = described;
    await writeSynced(making, 'upload.json', { v: 1, key, startedAt: Date.now(), headers, meta });
    await renameInto(making, join(this.root, id));
    return id;
  }

  /** The upload under way; throws `NoSuchUpload` for any other, and for one that is completed. */
  async find(tree: ObjectTree, key: string, id: string): Promise<Upload> {
    const upload = await this.#read(id);
    if (upload?.key !== key || (await tree.head(key))?.upload === id) throw noSuchUpload();
    return upload;
  }

  async putPart(upload: Upload, part: number, body: Body): Promise<ObjectRecord> {
    const { path, record } = await writeTemporary(this.temporary, async (file) => {
      const { tag, checksums } = await writeBody(file, body);
      return partRecord(upload.key, { bytes: body.bytes, etag: tag, checksums });
    });
    await this.keepPart(upload, part, path);
    return record;
  }

  /** Puts a finished file in the place of a part. */
  async keepPart(upload: Upload, part: number, path: string): Promise<void> {
    try {
      await this.#locks.run(upload.id, async () => {
        const directory = join(this.root, upload.id);
        // Not `renameInto`: an upload that was aborted meanwhile must not come back as a directory with one part.
        if (
          (await ignoringMissing(rename(path, join(directory, partName(part))).then(() => true))) !== true
        ) {
          throw noSuchUpload();
        }
        await syncDirectory(directory);
      });
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Parts with numbers above `after`, in order. */
  async parts(id: string, after = 0): Promise<readonly Part[]> {
    const names = (await ignoringMissing(readdir(join(this.root, id)))) ?? [];
    const numbers = names.filter((name) => /^\d{5}$/.test(name)).map(Number);
    const parts: Part[] = [];
    for (const part of numbers.filter((number) => number > after).sort((a, b) => a - b)) {
      const record = await this.#readPart(id, part);
      if (record !== undefined) parts.push({ part, record });
    }
    return parts;
  }

  /** Makes the object of the parts listed. Repeating it after it was done gives the same answer. */
  async complete(
    tree: ObjectTree,
    request: {
      readonly key: string;
      readonly id: string;
      readonly listed: readonly { readonly part: number; readonly etag: string }[];
      readonly check: (current: ObjectRecord | undefined) => void;
    },
  ): Promise<ObjectRecord> {
    const { key, id, listed } = request;
    return this.#locks.run(id, async () => {
      const done = await tree.head(key);
      if (done?.upload === id) return done;
      const upload = await this.find(tree, key, id);
      const parts = await this.#chosen(id, listed);
      const directory = join(this.root, id);
      const pieces = parts.map(({ part, record }): Piece => ({ part, bytes: record.bytes }));
      await writeSynced(directory, 'pieces.json', pieces);
      await syncDirectory(directory);
      const { path, record } = await writeTemporary(this.temporary, () =>
        Promise.resolve({
          ...partRecord(key, { bytes: sum(pieces), etag: etagOf(parts), checksums: {} }),
          headers: upload.headers,
          meta: upload.meta,
          upload: id,
        }),
      );
      await tree.commit(key, path, request.check);
      await this.#removeUnlisted(id, new Set(pieces.map(({ part }) => partName(part))));
      return record;
    });
  }

  async abort(tree: ObjectTree, key: string, id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      await this.find(tree, key, id);
      await this.#remove(id);
    });
  }

  /** Uploads that are not completed, by key and id. */
  async list(tree: ObjectTree): Promise<readonly Upload[]> {
    const uploads: Upload[] = [];
    for (const id of (await ignoringMissing(readdir(this.root))) ?? []) {
      const upload = await this.#read(id);
      if (upload !== undefined && (await tree.head(upload.key))?.upload !== id) uploads.push(upload);
    }
    const order = (a: Upload, b: Upload): number =>
      Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || (a.id < b.id ? -1 : 1);
    return uploads.sort(order);
  }

  /**
   * Removes uploads begun before `before` that never became an object. They also are what remains of an overwritten object when the
   * process dies between the new object's rename and the removal of the old one's parts.
   */
  async removeStale(tree: ObjectTree, before: number): Promise<number> {
    let removed = 0;
    for (const upload of await this.list(tree)) {
      const touched = (await ignoringMissing(stat(join(this.root, upload.id))))?.mtimeMs ?? 0;
      if (Math.max(upload.startedAt, touched) >= before) continue;
      await this.#locks.run(upload.id, async () => {
        if ((await tree.head(upload.key))?.upload !== upload.id) await this.#remove(upload.id);
      });
      removed += 1;
    }
    return removed;
  }

  /** Holds the parts of a completed object until the function returned is called, though the object be deleted. */
  async retain(id: string): Promise<{ readonly pieces: readonly Piece[]; readonly release: () => void }> {
    this.#readers.set(id, (this.#readers.get(id) ?? 0) + 1);
    const release = (): void => {
      const left = (this.#readers.get(id) ?? 1) - 1;
      if (left > 0) {
        this.#readers.set(id, left);
        return;
      }
      this.#readers.delete(id);
      if (this.#released.delete(id)) void this.#remove(id).catch(() => undefined); // the next start sweeps it
    };
    try {
      const text = await readFile(join(this.root, id, 'pieces.json'), 'utf8');
      return { pieces: piecesShape.parse(JSON.parse(text)), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** No object needs this upload's parts any more. */
  async release(id: string): Promise<void> {
    if (this.#readers.has(id)) this.#released.add(id);
    else await this.#remove(id);
  }

  pathOfPart(id: string, part: number): string {
    return join(this.root, id, partName(part));
  }

  async #chosen(
    id: string,
    listed: readonly { readonly part: number; readonly etag: string }[],
  ): Promise<readonly Part[]> {
    if (listed.length === 0) throw new S3Error('MalformedXML', 'an object needs at least one part');
    if (listed.some(({ part }, index) => index > 0 && part <= (listed[index - 1]?.part ?? 0))) {
      throw new S3Error('InvalidPartOrder', 'parts must be listed in ascending order');
    }
    const parts: Part[] = [];
    for (const [index, { part, etag }] of listed.entries()) {
      const record = await this.#readPart(id, part);
      if (record?.etag !== etag.replaceAll('"', '')) {
        throw new S3Error('InvalidPart', `part ${part} was not uploaded, or has another ETag`, {
          PartNumber: String(part),
        });
      }
      if (record.bytes < minPartBytes && index < listed.length - 1) {
        throw new S3Error('EntityTooSmall', `part ${part} has less than 5 MiB and is not the last`, {
          PartNumber: String(part),
        });
      }
      parts.push({ part, record });
    }
    return parts;
  }

  async #read(id: string): Promise<Upload | undefined> {
    // The id is the client's word until here.
    if (!/^[0-9a-f]{32}$/.test(id)) return undefined;
    const text = await ignoringMissing(readFile(join(this.root, id, 'upload.json'), 'utf8'));
    return text === undefined ? undefined : { ...uploadShape.parse(JSON.parse(text)), id };
  }

  async #readPart(id: string, part: number): Promise<ObjectRecord | undefined> {
    if (!Number.isInteger(part) || part < 1 || part > maxParts) return undefined;
    const file = await ignoringMissing(open(this.pathOfPart(id, part), 'r'));
    if (file === undefined) return undefined;
    try {
      return await readRecord(file);
    } finally {
      await file.close();
    }
  }

  async #removeUnlisted(id: string, listed: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(join(this.root, id))) {
      if (/^\d{5}$/.test(name) && !listed.has(name)) await rm(join(this.root, id, name), { force: true });
    }
  }

  /** First out of the way by one rename, so that a crash leaves no half of it to be found. */
  async #remove(id: string): Promise<void> {
    const trash = join(this.temporary, randomBytes(12).toString('hex'));
    await ignoringMissing(rename(join(this.root, id), trash));
    await rm(trash, { recursive: true, force: true });
  }
}

export function partRecord(
  key: string,
  content: Pick<ObjectRecord, 'bytes' | 'etag' | 'checksums'>,
): ObjectRecord {
  return { v: 1, key, ...content, modifiedAt: Date.now(), headers: {}, meta: {} };
}

const noSuchUpload = (): S3Error =>
  new S3Error('NoSuchUpload', 'there is no such upload: it was completed, aborted, or never begun');

const partName = (part: number): string => String(part).padStart(5, '0');

const sum = (pieces: readonly Piece[]): number => pieces.reduce((bytes, piece) => bytes + piece.bytes, 0);

/** S3's rule: the MD5 of the parts' MD5s, and their number. */
function etagOf(parts: readonly Part[]): string {
  const hash = createHash('md5');
  for (const { record } of parts) hash.update(Buffer.from(record.etag, 'hex'));
  return `${hash.digest('hex')}-${parts.length}`;
}

async function writeSynced(directory: string, name: string, content: unknown): Promise<void> {
  const path = join(directory, name);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify(content));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
