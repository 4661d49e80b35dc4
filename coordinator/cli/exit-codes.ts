/** What scripts rely on. A run's end decides between 0, 1, 6 and 7 where a command waits for it. */
export const exitCodes = {
  done: 0,
  runFailed: 1,
  /** Wrong usage, or an invalid pipeline. */
  usage: 2,
  /** The coordinator does not answer. */
  unreachable: 3,
  notFound: 4,
  refused: 5,
  runCanceled: 6,
  /** The run failed, but by our fault: a machine, the storage, Gantry itself. */
  ours: 7,
  /** By Ctrl-C; the run goes on. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** For the end of every command's `--help`. */
export const exitCodeHelp = `Exit codes: 0 done or run succeeded · 1 run failed · 2 wrong usage or invalid pipeline · 3 coordinator not reachable
  4 not found · 5 refused · 6 run canceled · 7 failed by Gantry's fault · 130 interrupted (the run goes on)`;
