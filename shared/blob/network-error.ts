/** What went wrong on the way to a server, in words: the code and the address say most. */
export function describeNetworkError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Connecting to a name with several addresses fails with one error that holds those of each.
  if (error instanceof AggregateError && error.errors.length > 0)
    return describeNetworkError(error.errors[0]);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ECONNREFUSED') return 'nothing listens there (ECONNREFUSED)';
  if (code === 'ENOTFOUND') return 'its name does not resolve (ENOTFOUND)';
  return error.message === '' ? error.name : error.message;
}
