/** Words of messages: how a value, a name or a list of names is shown. */

/** What a person wrote, on one line, shortened, in quotes; escapes what a terminal would act upon. */
export function quoted(text: string, most = 60): string {
  const short = text.length > most ? `${text.slice(0, most - 1)}…` : text;
  return `"${visible(short)}"`;
}

/** A key or name in backquotes. */
export function code(name: string): string {
  const short = visible(name.length > 80 ? `${name.slice(0, 79)}…` : name);
  return short.includes('`') ? `"${short}"` : `\`${short}\``;
}

/** Control characters and those that reorder or hide text become escapes. */
export function visible(text: string): string {
  return text.replace(
    // eslint-disable-next-line no-control-regex -- they are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    (character) => {
      if (character === '\n') return '\\n';
      if (character === '\t') return '\\t';
      if (character === '\r') return '\\r';
      return `\\u{${character.charCodeAt(0).toString(16)}}`;
    },
  );
}

/** What kind of thing a YAML value is, for "expected a list, got …". */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return value === '' ? 'an empty string' : `the string ${quoted(value, 40)}`;
  if (typeof value === 'number') return `the number ${value}`;
  if (typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return 'a map';
}

/** `a, b or c` */
export function either(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} or ${last}`;
}
