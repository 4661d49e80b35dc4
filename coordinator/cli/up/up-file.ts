/**
 * `DATA/up.json`: what runs, so that `down` can stop it and the next `up` adopt it, also when the process that started
 * it was killed. Written whole after every change, before anything else happens.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { systemCodeOf } from '../cli-error.js';
import type { ProcessIdentity } from './process-identity.js';

export interface Ports {
  readonly grpc: number;
  readonly http: number;
  readonly nats: number;
  readonly s3: number;
}
export type PortName = keyof Ports;

export interface RecordedDaemon extends ProcessIdentity {
  readonly name: string;
  /** Of program, arguments and environment: an adopted daemon with another one is started anew. */
  readonly digest: string;
}

/** The line that `up --json` prints once runs can be submitted. */
export interface Ready {
  readonly ready: true;
  readonly grpc: string;
  readonly http: string;
  readonly nats: string;
  readonly s3: string;
  readonly daemons: readonly { readonly name: string; readonly pid: number }[];
}

export interface UpFile {
  readonly v: 1;
  readonly supervisor: ProcessIdentity | null;
  readonly ports: Ports;
  readonly daemons: readonly RecordedDaemon[];
  /** Null until runs can be submitted. */
  readonly ready: Ready | null;
}

/** `undefined` when there is none, or none that can be read: it is a help, never the truth. */
export function readUpFile(path: string): UpFile | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isUpFile(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export function writeUpFile(path: string, file: UpFile): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
const isIdentity = (value: unknown): value is ProcessIdentity =>
  isRecord(value) && Number.isSafeInteger(value['pid']) && typeof value['started'] === 'string';
const isPorts = (value: unknown): value is Ports =>
  isRecord(value) && ['grpc', 'http', 'nats', 's3'].every((name) => Number.isSafeInteger(value[name]));
const isDaemon = (value: unknown): value is RecordedDaemon =>
  isRecord(value) &&
  isIdentity(value) &&
  typeof value['name'] === 'string' &&
  typeof value['digest'] === 'string';

function isUpFile(value: unknown): value is UpFile {
  return (
    isRecord(value) &&
    value['v'] === 1 &&
    (value['supervisor'] === null || isIdentity(value['supervisor'])) &&
    isPorts(value['ports']) &&
    Array.isArray(value['daemons']) &&
    value['daemons'].every(isDaemon) &&
    (value['ready'] === null || isRecord(value['ready']))
  );
}
