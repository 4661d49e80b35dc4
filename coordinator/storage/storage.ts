/** Options and result of the embedded S3 server; `server.ts` starts it. */

/** The part of a pino logger that the server uses. */
export interface StorageLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface StorageOptions {
  /** Made if missing, mode 0700. One server at a time: a second one on the same directory is refused. */
  readonly dataDir: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  /** PEM. Without it the server speaks plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly log: StorageLog;
  /** Multipart uploads older than this are removed. Default: 7 days. */
  readonly staleUploadMs?: number;
}

export interface RunningStorage {
  readonly port: number;
  /** Ends idle connections at once, gives requests under way `graceMs` (default 5,000) to finish, releases the directory. */
  close(graceMs?: number): Promise<void>;
}
