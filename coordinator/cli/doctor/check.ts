/** One look at this machine: what was found, how bad it is, and what to do. */
export interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warning' | 'error';
  readonly message: string;
  /** Empty when all is well. */
  readonly remedy: string;
}

export const ok = (name: string, message: string): Check => ({ name, level: 'ok', message, remedy: '' });
export const warning = (name: string, message: string, remedy: string): Check => ({
  name,
  level: 'warning',
  message,
  remedy,
});
export const failure = (name: string, message: string, remedy: string): Check => ({
  name,
  level: 'error',
  message,
  remedy,
});
