/** What may be a secret of a project: pure rules, with the sentence to answer where one is broken. */

/** Shorter ones would be masked in half of all logs, and guessed. */
export const minSecretBytes = 6;
export const maxSecretBytes = 32 * 1024;

/** Undefined: the name is good. */
export function secretNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name.length > 128) {
    return `secret ${JSON.stringify(name.slice(0, 140))}: expected the name of a variable (letters, digits and _, not beginning with a digit, at most 128 characters)`;
  }
  if (name.startsWith('GANTRY_')) return `secret ${name}: names that begin with GANTRY_ are Gantry's own`;
  return undefined;
}

/** Undefined: the value is good. The sentence says nothing of the value but its length. */
export function secretValueProblem(name: string, value: string): string | undefined {
  const bytes = Buffer.byteLength(value);
  if (bytes < minSecretBytes || bytes > maxSecretBytes) {
    return `secret ${name}: the value has ${bytes} bytes, expected ${minSecretBytes} bytes to 32 KiB (shorter ones cannot be masked in logs)`;
  }
  if (value.includes('\0')) return `secret ${name}: the value has a NUL byte, which no variable can hold`;
  return undefined;
}
