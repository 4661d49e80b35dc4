/** How our own processes log: pino lines on stderr, one JSON object each, or readable ones on a terminal. */
import { pino, type Logger } from 'pino';

export type { Logger };

export interface LogOptions {
  /** `coordinator`, `agent`, `storage`: in every line. */
  readonly name: string;
  readonly level: string;
  /** Readable lines instead of JSON. */
  readonly pretty: boolean;
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export function createLog(options: LogOptions): Logger {
  const base = { name: options.name, level: options.level };
  if (!options.pretty) return pino(base, pino.destination({ fd: 2, sync: true }));
  return pino({
    ...base,
    transport: {
      target: 'pino-pretty',
      options: { destination: 2, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true },
    },
  });
}
