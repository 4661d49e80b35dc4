/**
 * The keys that coordinators of one installation share, in a directory only its owner may read. Missing ones are
 * made; every coordinator that is given the same directory accepts the same tokens.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Keys {
  readonly directory: string;
  /** Signs user and join tokens. */
  readonly tokenKey: Buffer;
  /** Seals what the vault keeps in NATS; 32 bytes. Without it secrets must be set again. */
  readonly secretsKey: Buffer;
  /** Of the embedded storage, or where the operator put those of an existing one. */
  readonly s3: { readonly accessKey: string; readonly secretKey: string };
}

/** Creates the file with fresh content unless it exists; two processes at once end with one content. */
async function readOrCreate(path: string, make: () => string): Promise<string> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(make());
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error;
  }
  const text = (await readFile(path, 'utf8')).trim();
  if (text === '') throw new Error(`${path} is empty: remove it, and a new key is made at the next start`);
  return text;
}

export async function openKeys(directory: string): Promise<Keys> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const token = await readOrCreate(join(directory, 'token.key'), () => randomBytes(32).toString('hex'));
  const secrets = await readOrCreate(join(directory, 'secrets.key'), () => randomBytes(32).toString('hex'));
  if (!/^[0-9a-f]{64}$/.test(secrets)) {
    throw new Error(`${join(directory, 'secrets.key')}: expected 64 hexadecimal digits`);
  }
  const s3 = await readOrCreate(
    join(directory, 's3.key'),
    () => `GANTRY${randomBytes(7).toString('hex').toUpperCase()} ${randomBytes(30).toString('base64url')}`,
  );
  const [accessKey, secretKey] = s3.split(/\s+/);
  if (accessKey === undefined || secretKey === undefined) {
    throw new Error(
      `${join(directory, 's3.key')}: expected an access key and a secret key, separated by a space`,
    );
  }
  return {
    directory,
    tokenKey: Buffer.from(token, 'hex'),
    secretsKey: Buffer.from(secrets, 'hex'),
    s3: { accessKey, secretKey },
  };
}

export const sha256Hex = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');
