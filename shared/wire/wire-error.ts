/** A message that is not what the contract says: names the field. Servers answer INVALID_ARGUMENT. */
export class WireError extends Error {
  override readonly name = 'WireError';
  constructor(field: string, expected: string, got: unknown) {
    super(`${field}: expected ${expected}, got ${got === undefined ? 'nothing' : JSON.stringify(got)}`);
  }
}

export function required<T>(field: string, value: T | null | undefined): T {
  if (value === null || value === undefined) throw new WireError(field, 'a value', undefined);
  return value;
}

/** Parses with one of the model's parsers (`parseRunId` …), or names what was expected. */
export function parsed<In, Out>(
  field: string,
  expected: string,
  parse: (value: In) => Out | undefined,
  value: In | null | undefined,
): Out {
  const result = value === null || value === undefined ? undefined : parse(value);
  if (result === undefined) throw new WireError(field, expected, value);
  return result;
}

export function oneOf<T extends string>(field: string, choices: readonly T[], value: string | undefined): T {
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw new WireError(field, choices.join(' | '), value);
  return choice;
}
