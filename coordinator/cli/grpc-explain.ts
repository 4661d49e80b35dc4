/** What a gRPC status means to the person who typed the command. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { CliError, UnreachableError } from './cli-error.js';
import type { Connection } from './connection.js';
import { exitCodes, type ExitCode } from './exit-codes.js';

export function toCliError(error: ServiceError, connection: Connection): CliError {
  const { exitCode, message, remedies } = explain(error, connection);
  if (exitCode === exitCodes.unreachable) {
    return new UnreachableError(message, { remedies, cause: error, reached: !neverConnected(error) });
  }
  return new CliError(exitCode, message, { remedies, cause: error });
}

interface Explanation {
  readonly exitCode: ExitCode;
  readonly message: string;
  readonly remedies: readonly string[];
}

export function explain(
  error: Pick<ServiceError, 'code' | 'details'>,
  connection: Pick<Connection, 'address' | 'from' | 'tls' | 'token'>,
): Explanation {
  const { address } = connection;
  const details = error.details;
  switch (error.code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return { exitCode: exitCodes.usage, message: details, remedies: [] };
    case status.NOT_FOUND:
      return { exitCode: exitCodes.notFound, message: details, remedies: [] };
    case status.UNAUTHENTICATED:
      return {
        exitCode: exitCodes.refused,
        message: `the coordinator at ${address} does not accept the token: ${details}`,
        remedies: [
          connection.token === ''
            ? 'no token was given: use --token or GANTRY_TOKEN, or the context that `gantry up` makes'
            : `check --token, GANTRY_TOKEN or the context (the address comes from ${connection.from})`,
        ],
      };
    case status.PERMISSION_DENIED:
      return { exitCode: exitCodes.refused, message: `not allowed: ${details}`, remedies: [] };
    case status.FAILED_PRECONDITION:
    case status.ALREADY_EXISTS:
    case status.RESOURCE_EXHAUSTED:
    case status.ABORTED:
      return { exitCode: exitCodes.refused, message: details, remedies: [] };
    case status.UNIMPLEMENTED:
      return {
        exitCode: exitCodes.refused,
        message: `the coordinator at ${address} does not know this command (${details})`,
        remedies: ['it is of another version than this `gantry`: upgrade the older one'],
      };
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return unreachable(error, connection);
    case status.CANCELLED:
      return { exitCode: exitCodes.interrupted, message: 'interrupted', remedies: [] };
    case status.OK:
    case status.UNKNOWN:
    case status.INTERNAL:
    case status.DATA_LOSS:
      return {
        exitCode: exitCodes.ours,
        message: `the coordinator at ${address} failed: ${details}`,
        remedies: ['its log says more; please report this'],
      };
  }
}

function unreachable(
  { code, details }: Pick<ServiceError, 'code' | 'details'>,
  { address, from, tls }: Pick<Connection, 'address' | 'from' | 'tls'>,
): Explanation {
  const exitCode = exitCodes.unreachable;
  if (code === status.DEADLINE_EXCEEDED) {
    return {
      exitCode,
      message: `the coordinator at ${address} does not answer in time`,
      remedies: ['try again in a moment; `gantry doctor` says what it waits for'],
    };
  }
  if (!neverConnected({ details })) {
    return {
      exitCode,
      message: `the coordinator at ${address} cannot answer now: ${details}`,
      remedies: ['try again in a moment; `gantry doctor` says what it waits for'],
    };
  }
  const why = reasonIn(details);
  const remedies: string[] = [];
  if (/certificate|self.signed|verify/i.test(why)) {
    remedies.push('give the authority that signed its certificate: --ca FILE, or GANTRY_CA');
  } else if (/wrong version number|EPROTO|Protocol error|Failed to connect|ECONNRESET/i.test(why)) {
    remedies.push(
      tls === undefined
        ? 'something listens there; if it is a coordinator with a certificate, give its authority with --ca FILE, or write https://HOST:PORT'
        : 'something listens there, but does not speak TLS: leave out --ca and https://',
    );
  } else if (from === 'the default address' || /^(127\.|localhost|\[::1\])/.test(address)) {
    remedies.push('start one with `gantry up` (everything on this machine) or `gantry coordinator`');
  } else {
    remedies.push(
      `check that it runs there (the address comes from ${from}), or name another with --coordinator HOST:PORT`,
    );
  }
  return { exitCode, message: `no coordinator answers at ${address} (${why})`, remedies };
}

/** gRPC wraps the cause: `No connection established. Last error: Error: … (2026-…). Resolution note: `. */
function reasonIn(details: string): string {
  const [, wrapped] =
    /Last error: (?:Error: )?(.*?)\.?\s*(?:\(\d{4}-\d\d-.*)?(?:Resolution note.*)?$/s.exec(details) ?? [];
  const [, tls] = /SSL routines:[^:]*:([^:]+)/.exec(details) ?? [];
  return tls ?? (wrapped ?? details).replace(/\.\s*$/, '');
}

/** What the connection itself says; anything else that is UNAVAILABLE was said by a coordinator. */
const neverConnected = ({ details }: Pick<ServiceError, 'details'>): boolean =>
  /No connection established|name resolution|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/i.test(
    details,
  );
