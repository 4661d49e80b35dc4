import { exitCodes, type ExitCode } from './exit-codes.js';

/**
 * The one error that a command ends with on purpose: what happened, and what to do about it. Anything else that gets
 * to `main` is a defect and is shown as one.
 */
export class CliError extends Error {
  override readonly name = 'CliError';
  /** What to do, one line each. */
  readonly remedies: readonly string[];

  constructor(
    readonly exitCode: ExitCode,
    message: string,
    options: { readonly remedies?: readonly string[]; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.remedies = options.remedies ?? [];
  }
}

/** No answer from a coordinator. */
export class UnreachableError extends CliError {
  constructor(
    message: string,
    options: {
      readonly remedies: readonly string[];
      readonly cause: unknown;
      /** Whether the request may have got there: then asking again with the same id is right, and not knowing is no answer. */
      readonly reached: boolean;
    },
  ) {
    super(exitCodes.unreachable, message, options);
    this.reached = options.reached;
  }
  readonly reached: boolean;
}

/** The words of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a system error (`ENOENT`), where it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
