/** Reading `manifest.json`: it comes from storage, so nothing in it is believed before it was checked here. */
import {
  linkStaysInside,
  safeRelativePath,
  type FileEntry,
  type Manifest,
  type ManifestArtifact,
} from './artifact.js';
import { namePattern, parseSha256 } from './ids.js';

/** `invalid`: a sentence that says what is wrong. */
export type ManifestResult =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'invalid'; readonly message: string };

class Wrong extends Error {}

/** Checks parsed JSON: shapes, digests, and that no path and no link leaves the directory it is written to. */
export function parseManifest(json: unknown): ManifestResult {
  try {
    const record = object(json, 'the manifest');
    if (record['v'] !== 1)
      throw new Wrong(`the manifest has version ${String(record['v'])}, and only 1 is known`);
    const artifacts = list(record['artifacts'], 'artifacts').map(parseArtifact);
    return { kind: 'manifest', manifest: { v: 1, artifacts } };
  } catch (error) {
    if (error instanceof Wrong) return { kind: 'invalid', message: error.message };
    throw error;
  }
}

function parseArtifact(json: unknown): ManifestArtifact {
  const record = object(json, 'an artifact');
  const name = text(record['name'], 'name of an artifact');
  if (!namePattern.test(name)) throw new Wrong(`${JSON.stringify(name)} is no name of an artifact`);
  const form = record['form'];
  if (form !== 'file' && form !== 'tar') throw new Wrong(`artifact ${name} has an unknown form`);
  const files = list(record['files'], `files of ${name}`).map((file) => parseFile(file, name));
  if (form === 'file' && files.length !== 1)
    throw new Wrong(`artifact ${name} is one file, but lists ${files.length}`);
  return {
    number: count(record['number'], 'number of an artifact'),
    name,
    form,
    bytes: count(record['bytes'], `bytes of ${name}`),
    sha256: digest(record['sha256'], name),
    files,
  };
}

function parseFile(json: unknown, artifact: string): FileEntry {
  const record = object(json, `a file of ${artifact}`);
  const path = record['path'];
  const pathBase64 = record['pathBase64'];
  let name: { path: string } | { pathBase64: string };
  let bytes: string;
  if (typeof path === 'string') {
    name = { path };
    bytes = path;
  } else {
    const encoded = text(pathBase64, `path of a file of ${artifact}`);
    name = { pathBase64: encoded };
    bytes = latin1OfBase64(encoded);
  }
  if (safeRelativePath(bytes) === undefined) {
    throw new Wrong(
      `artifact ${artifact} has a file at ${JSON.stringify(bytes)}, which leaves its directory`,
    );
  }
  const link = record['link'];
  if (link !== undefined && !linkStaysInside(bytes, text(link, 'target of a link'))) {
    throw new Wrong(`artifact ${artifact} has a link at ${JSON.stringify(bytes)} that leaves its directory`);
  }
  return {
    ...name,
    mode: count(record['mode'], 'mode of a file'),
    size: count(record['size'], 'size of a file'),
    sha256: digest(record['sha256'], bytes),
    ...(link === undefined ? {} : { link: text(link, 'target of a link') }),
    ...(record['where'] === undefined ? {} : { where: parseWhere(record['where']) }),
  };
}

function parseWhere(json: unknown): NonNullable<FileEntry['where']> {
  const record = object(json, 'where');
  return {
    memberOffset: count(record['memberOffset'], 'memberOffset'),
    memberBytes: count(record['memberBytes'], 'memberBytes'),
    dataOffset: count(record['dataOffset'], 'dataOffset'),
  };
}

function object(json: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Wrong(`${what} is no object`);
  return Object.fromEntries(Object.entries(json));
}

function list(json: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(json)) throw new Wrong(`${what} is no list`);
  return json;
}

function text(json: unknown, what: string): string {
  if (typeof json !== 'string') throw new Wrong(`${what} is no text`);
  return json;
}

function count(json: unknown, what: string): number {
  if (typeof json !== 'number' || !Number.isSafeInteger(json) || json < 0)
    throw new Wrong(`${what} is no number`);
  return json;
}

function digest(json: unknown, what: string): FileEntry['sha256'] {
  const sha256 = typeof json === 'string' ? parseSha256(json) : undefined;
  if (sha256 === undefined) throw new Wrong(`${what} has no SHA-256`);
  return sha256;
}

const base64Digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The bytes, one character each; base64 of anything else than its canonical form is refused. */
function latin1OfBase64(encoded: string): string {
  const digits = encoded.replace(/={1,2}$/, '');
  let bits = 0;
  let value = 0;
  let bytes = '';
  for (const char of digits) {
    const digit = base64Digits.indexOf(char);
    if (digit === -1) throw new Wrong('a path is no base64');
    value = ((value << 6) | digit) & 0x3fff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += String.fromCharCode((value >> bits) & 0xff);
    }
  }
  return bytes;
}
