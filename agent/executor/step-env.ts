/** What a step wrote to `$GANTRY_ENV`: a line `NAME=value` each; empty lines and `#` comments are skipped. */
export interface StepEnvironment {
  readonly variables: Readonly<Record<string, string>>;
  /** One sentence per line that was not taken. */
  readonly problems: readonly string[];
}

export const maxEnvBytes = 1024 * 1024;
const maxProblems = 5;
const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Where these lie is the executor's to say. */
const reserved = new Set(['GANTRY_ENV', 'GANTRY_OUTPUT', 'GANTRY_STEP_ID']);

export function parseStepEnv(text: string): StepEnvironment {
  // A map: in an object, `__proto__=x` would set something else.
  const variables = new Map<string, string>();
  const problems: string[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (line.trim() === '' || line.startsWith('#')) return;
    const equals = line.indexOf('=');
    const name = equals < 0 ? line : line.slice(0, equals);
    const at = `$GANTRY_ENV line ${index + 1}`;
    if (equals < 0 || !namePattern.test(name)) {
      // Not quoted: it may be a line of a secret, and a piece of one is not masked.
      problems.push(
        `${at} was ignored: expected NAME=value${line.startsWith('export ') ? ' without `export`' : ''}`,
      );
    } else if (reserved.has(name)) {
      problems.push(`${at} was ignored: ${name} cannot be changed`);
    } else if (line.includes('\0')) {
      problems.push(`${at} was ignored: the value of ${name} has a NUL byte`);
    } else {
      variables.set(name, line.slice(equals + 1));
    }
  });
  return {
    variables: Object.fromEntries(variables),
    problems:
      problems.length <= maxProblems
        ? problems
        : [
            ...problems.slice(0, maxProblems),
            `${problems.length - maxProblems} more lines of $GANTRY_ENV were ignored`,
          ],
  };
}
