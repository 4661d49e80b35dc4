import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, renameInto, syncDirectory } from './durable.js';
import { ignoringMissing, S3Error } from './errors.js';
import { KeyLocks } from './key-locks.js';
import { listObjects } from './listing.js';
import { ObjectTree } from './object-tree.js';
import { Uploads } from './uploads.js';

/** `DATA/buckets/<name>/{bucket.json, objects/, uploads/}`; names of buckets are safe as names of files. */
export interface Bucket {
  readonly name: string;
  readonly createdAt: number;
  readonly objects: ObjectTree;
  readonly uploads: Uploads;
}

const bucketName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const bucketShape = z.object({ v: z.literal(1), createdAt: z.number() });

/** All buckets of a data directory. */
export class Buckets {
  /** On the same file system as the buckets: files being written and directories being removed. Emptied at each start. */
  readonly temporary: string;
  readonly #root: string;
  readonly #buckets = new Map<string, Bucket>();
  readonly #locks = new KeyLocks();

  private constructor(dataDir: string) {
    this.#root = join(dataDir, 'buckets');
    this.temporary = join(dataDir, 'tmp');
  }

  static async open(dataDir: string): Promise<Buckets> {
    const buckets = new Buckets(dataDir);
    await rm(buckets.temporary, { recursive: true, force: true });
    await makeDirectory(buckets.temporary);
    await makeDirectory(buckets.#root);
    for (const name of await readdir(buckets.#root)) {
      const text = await ignoringMissing(readFile(join(buckets.#root, name, 'bucket.json'), 'utf8'));
      // Without its file it is the rest of a bucket whose making or removal was interrupted.
      if (text === undefined) await rm(join(buckets.#root, name), { recursive: true, force: true });
      else buckets.#add(name, bucketShape.parse(JSON.parse(text)).createdAt);
    }
    return buckets;
  }

  get(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      throw new S3Error('NoSuchBucket', `there is no bucket ${name}`, { BucketName: name });
    }
    return bucket;
  }

  all(): readonly Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async create(name: string): Promise<void> {
    if (!bucketName.test(name) || name.includes('..')) {
      throw new S3Error('InvalidBucketName', 'a bucket has 3 to 63 characters: a-z, 0-9, - and .', {
        BucketName: name,
      });
    }
    await this.#locks.run(name, async () => {
      if (this.#buckets.has(name)) {
        throw new S3Error('BucketAlreadyOwnedByYou', `the bucket ${name} exists already`, {
          BucketName: name,
        });
      }
      const createdAt = Date.now();
      const making = this.#temporaryName();
      await mkdir(making, { mode: 0o700 });
      await writeFile(join(making, 'bucket.json'), JSON.stringify({ v: 1, createdAt }), { flush: true });
      await syncDirectory(making);
      await rm(join(this.#root, name), { recursive: true, force: true });
      await renameInto(making, join(this.#root, name));
      this.#add(name, createdAt);
    });
  }

  async delete(name: string): Promise<void> {
    await this.#locks.run(name, async () => {
      const bucket = this.get(name);
      const first = await listObjects(bucket.objects, { prefix: '', after: '', delimiter: '', max: 1 });
      if (first.objects.length > 0) {
        throw new S3Error('BucketNotEmpty', `the bucket ${name} still has objects`, { BucketName: name });
      }
      this.#buckets.delete(name);
      const trash = this.#temporaryName();
      await rename(join(this.#root, name), trash);
      await syncDirectory(this.#root);
      await rm(trash, { recursive: true, force: true });
    });
  }

  #temporaryName(): string {
    return join(this.temporary, randomBytes(12).toString('hex'));
  }

  #add(name: string, createdAt: number): void {
    const root = join(this.#root, name);
    const uploads = new Uploads(join(root, 'uploads'), this.temporary);
    const objects = new ObjectTree(join(root, 'objects'), (upload) => uploads.release(upload));
    this.#buckets.set(name, { name, createdAt, objects, uploads });
  }
}
