/** Of `gantry-agent`; documented in its `--help`. */
export const exitCodes = {
  /** Stopped by a signal, or it only said something. */
  ended: 0,
  /** This machine cannot run stages, or something broke. */
  ours: 1,
  wrongUsage: 2,
  /** By the coordinator. */
  refused: 3,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
