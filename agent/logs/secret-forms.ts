/** How a secret may look in a log: itself, and as programs commonly encode or quote it. Pure. */

/** Shorter pieces would mask what is no secret: `true`, `}`, a port. */
export const minFormBytes = 6;

/** Nobody wraps base64 to shorter lines. */
export const shortestLine = 16;

export interface SecretForm {
  readonly bytes: Buffer;
  /**
   * Line ends (`\n`, `\r\n`) may stand in it, with at least `shortestLine` bytes from one to the next: base64 is wrapped at
   * 64, 76 or any other column, and where the first line ends depends on what stands before.
   */
  readonly folded: boolean;
}

/** The forms of all values, each once. */
export function secretForms(values: Iterable<string>): readonly SecretForm[] {
  const forms = new Map<string, SecretForm>();
  const add = (text: string | Buffer, folded: boolean): void => {
    const bytes = Buffer.from(text);
    if (bytes.length < minFormBytes) return;
    const key = bytes.toString('latin1');
    if (folded || !forms.has(key)) forms.set(key, { bytes, folded });
  };
  for (const value of values) {
    // Shells strip the line end of what they read, so a value is seen with and without it.
    for (const whole of new Set([value, value.trim()])) {
      if (Buffer.byteLength(whole) < minFormBytes) continue;
      for (const plain of [whole, ...urlForms(whole), ...jsonForms(whole), ...shellForms(whole)])
        add(plain, false);
      for (const encoded of base64Forms(Buffer.from(whole))) add(encoded, true);
    }
    const lines = value.split(/\r?\n/);
    if (lines.length > 1) for (const line of lines) add(line.trim(), false);
  }
  return [...forms.values()];
}

/**
 * Where the value stands in what is encoded decides how its bits fall into characters: three ways. Characters at either end
 * that mix with the neighbours are left out, but for the end of the text, which is known.
 */
function base64Forms(value: Buffer): readonly string[] {
  const forms: string[] = [];
  for (const before of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(before), value]).toString('base64');
    const begin = [0, 2, 3][before] ?? 0;
    const loose = [0, 3, 2][(before + value.length) % 3] ?? 0;
    forms.push(encoded.slice(begin, encoded.length - loose));
    // The end of the text: with its padding, and the last character before that.
    if (loose > 0) forms.push(encoded.slice(begin), encoded.slice(begin).replace(/=+$/, ''));
  }
  return [...forms, ...forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))];
}

/** What stays as it is, beside letters and digits: by encodeURIComponent, RFC 3986, forms, Python's quote, encodeURI. */
const unreserved = ["-_.!~*'()", '-_.~', '*-._', '-_.~/', "-_.!~*'();,/?:@&=+$#"];

function urlForms(value: string): readonly string[] {
  // Nobody escapes these.
  if (/^[A-Za-z0-9_.-]*$/.test(value)) return [];
  const bytes = Buffer.from(value).toString('latin1');
  const encode = (safe: string, space: string, hex: (byte: number) => string): string =>
    bytes.replace(/[^A-Za-z0-9]/g, (char) => {
      if (safe.includes(char)) return char;
      return char === ' ' ? space : `%${hex(char.charCodeAt(0))}`;
    });
  const lower = (byte: number): string => byte.toString(16).padStart(2, '0');
  const upper = (byte: number): string => lower(byte).toUpperCase();
  return unreserved.flatMap((safe) =>
    ['+', '%20'].flatMap((space) => [encode(safe, space, lower), encode(safe, space, upper)]),
  );
}

/** Without the quotes: as JavaScript writes it, as Python does (ASCII only), as Go does (`<>&`), as PHP does (`/`). */
function jsonForms(value: string): readonly string[] {
  const form = JSON.stringify(value).slice(1, -1);
  const escaped = (text: string, which: RegExp): string =>
    text.replace(which, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [
    form,
    escaped(form, /[^\u0000-\u007f]/g), // eslint-disable-line no-control-regex -- all of ASCII
    escaped(form, /[<>&]/g),
    form.replaceAll('/', '\\/'),
  ];
}

/** As `set -x` and `printf %q` show it. Without a special character that is the value itself. */
function shellForms(value: string): readonly string[] {
  const named: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };
  return [
    value.replaceAll("'", "'\\''"),
    value.replaceAll("'", `'"'"'`),
    // $'…'
    value.replace(/[\\']/g, '\\$&').replace(/[\n\t\r]/g, (char) => named[char] ?? char),
    value.replace(/[^A-Za-z0-9_\-./:=@%+,\u0080-\u{10ffff}]/gu, '\\$&'),
  ];
}
