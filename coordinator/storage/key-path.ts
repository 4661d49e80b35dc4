/**
 * Where an object's file is. A key never becomes a path directly: each of its `/`-separated components is escaped until only
 * letters, digits, `-`, `_` and `.` remain, and gets a letter in front that says what it is, so that no name means anything to
 * the file system (`.` and `..` are `o.` and `o..`) and the object `a` can be beside the objects `a/b`:
 *
 *     o<text>   an object: the key ends here
 *     d<text>   a directory: `text` and a `/` follow in the key
 *     c<text>   a directory: `text` has exactly `cut` bytes, and the component goes on below (file names end at 255 bytes)
 *
 * Each directory holds one contiguous range of keys, so reading the tree in order lists a bucket in order, and a prefix is a subtree.
 * Text here is a *byte string*: each character is one byte of UTF-8, so that comparing strings compares bytes, as S3 orders keys.
 */
const cut = 80;

export type TreeEntry =
  | { readonly kind: 'object'; readonly text: string; readonly name: string }
  /** All keys below start with `text`. */
  | { readonly kind: 'directory'; readonly text: string; readonly name: string };

export const toByteString = (text: string): string => Buffer.from(text).toString('latin1');
export const fromByteString = (bytes: string): string => Buffer.from(bytes, 'latin1').toString();

/** The names of the directories and of the file, from the bucket's root. */
export function pathOfKey(key: string): readonly [...string[], string] {
  const names: string[] = [];
  const components = toByteString(key).split('/');
  const last = components.length - 1;
  for (const [index, component] of components.entries()) {
    let rest = component;
    while (rest.length >= cut) {
      names.push(`c${escapeName(rest.slice(0, cut))}`);
      rest = rest.slice(cut);
    }
    if (index === last) return [...names, `o${escapeName(rest)}`];
    names.push(`d${escapeName(rest)}`);
  }
  throw new Error('splitting a string gives at least one component');
}

/** What a name in a directory of the tree stands for; `undefined` for what is none of ours. */
export function entryOfName(name: string): TreeEntry | undefined {
  const text = unescapeName(name.slice(1));
  switch (name.charAt(0)) {
    case 'o':
      return { kind: 'object', text, name };
    case 'd':
      return { kind: 'directory', text: `${text}/`, name };
    case 'c':
      return { kind: 'directory', text, name };
    default:
      return undefined;
  }
}

const escapeName = (bytes: string): string =>
  bytes.replace(
    /[^A-Za-z0-9._-]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );

const unescapeName = (name: string): string =>
  name.includes('%')
    ? name.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : name;
