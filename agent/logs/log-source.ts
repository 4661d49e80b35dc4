/** The spool of a step, as `StepLog` offers it. */
export interface LogSource {
  /** Up to which offset bytes can be read; `from`: the first that the caller wants, at or before that. */
  available(from: number): Promise<number>;
  read(offset: number, buffer: Uint8Array): Promise<number>;
  changed(signal: AbortSignal): Promise<void>;
}
