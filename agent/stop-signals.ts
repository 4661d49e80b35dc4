/** SIGTERM and SIGINT as two levels of stopping: the first hands over, the second ends what runs. */
export interface StopSignals {
  readonly first: AbortSignal;
  readonly second: AbortSignal;
  /** Resolves at the first signal, or when the other aborts. */
  firstOr(other: AbortSignal): Promise<void>;
}

export function stopSignals(): StopSignals {
  const levels = [new AbortController(), new AbortController()] as const;
  const onSignal = (name: NodeJS.Signals): void => {
    levels[levels[0].signal.aborted ? 1 : 0].abort(new Error(`stopped by ${name}`));
  };
  // A service manager may stop the terminal with the agent; its end is no second wish.
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, onSignal);
  const first = levels[0].signal;
  return {
    first,
    second: levels[1].signal,
    firstOr: (other) =>
      new Promise((resolve) => {
        const either = AbortSignal.any([first, other]);
        if (either.aborted) resolve();
        else either.addEventListener('abort', () => resolve(), { once: true });
      }),
  };
}
