/** The parts of an image reference, and the patterns of `--local-images`. Pure. */
export interface ImageReference {
  /** Without tag and digest, as written: `python`, `ghcr.io/owner/name`. */
  readonly name: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** A daemon's id of an image that may exist on one machine only. */
export const isImageId = (text: string): boolean => /^sha256:[0-9a-f]{64}$/.test(text);

export function parseImageReference(text: string): ImageReference {
  const [rest = '', digest] = text.split('@', 2);
  const colon = rest.lastIndexOf(':');
  // A colon before a slash belongs to a registry's port.
  const hasTag = colon > rest.lastIndexOf('/');
  const name = hasTag ? rest.slice(0, colon) : rest;
  return {
    name,
    ...(hasTag ? { tag: rest.slice(colon + 1) } : {}),
    ...(digest === undefined ? {} : { digest }),
  };
}

const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const host = String.raw`[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?`;
const grammar = new RegExp(
  String.raw`^(?:${host}/)?${component}(?:/${component})*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

/** Whether this can name an image at all. */
export const isImageReference = (text: string): boolean => text.length <= 512 && grammar.test(text);

/** Docker's long form of a name: `python` is `docker.io/library/python`. */
export function canonicalName(name: string): string {
  const [first = '', ...others] = name.split('/');
  const hasHost = others.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  if (hasHost) return first === 'index.docker.io' ? `docker.io/${others.join('/')}` : name;
  return others.length === 0 ? `docker.io/library/${name}` : `docker.io/${name}`;
}

/** What the daemon is asked for: without a tag it would pull all tags of the name. */
export function withTag(text: string): string {
  const { tag, digest } = parseImageReference(text);
  return tag === undefined && digest === undefined ? `${text}:latest` : text;
}

/** The reference and how else it may be written: without a tag it means `latest`. */
export const sameReferences = (text: string): readonly string[] => [
  ...new Set([text, withTag(text), text.replace(/:latest$/, '')]),
];

/**
 * Whether an agent's owner allows this reference to come from the machine itself. In a pattern `*` stands for anything;
 * a pattern without a tag means every tag.
 */
export function matchesLocal(image: string, patterns: readonly string[]): boolean {
  const { name } = parseImageReference(image);
  return patterns.some((pattern) => {
    const expression = new RegExp(`^${pattern.split('*').map(escapeExpression).join('.*')}$`);
    return [image, withTag(image), name].some((each) => expression.test(each));
  });
}

const escapeExpression = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, String.raw`\$&`);

/** Of the digests that a daemon knows an image by, the one under this name. */
export function repoDigestFor(image: string, repoDigests: readonly string[]): string | undefined {
  const wanted = canonicalName(parseImageReference(image).name);
  return repoDigests.find((each) => canonicalName(parseImageReference(each).name) === wanted);
}
