/** Credentials of image registries, and which registry an image comes from. Pure. */

export interface RegistryCredential {
  /** As in references: `registry.example.org:5000`; Docker's own is `docker.io`. */
  readonly host: string;
  readonly user: string;
  readonly password: string;
}

/** What an attempt may use. */
export interface RegistryAccess {
  readonly credentials: readonly RegistryCredential[];
  /** There are some, and this attempt gets none: why, a sentence. */
  readonly withheld?: string;
}

export const noRegistryAccess: RegistryAccess = { credentials: [] };

/** A first component is a registry's only if it cannot be a part of a path; `localhost` is one. */
const isHost = (component: string): boolean =>
  component.includes('.') || component.includes(':') || component === 'localhost';

/** The registry that a reference names. */
export function registryOf(reference: string): string {
  const [first = '', ...others] = reference.split('/');
  if (others.length === 0 || !isHost(first)) return 'docker.io';
  return canonicalHost(first);
}

const canonicalHost = (host: string): string => {
  const lower = host.toLowerCase();
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? 'docker.io' : lower;
};

/** The host of a credential as it is compared; undefined: no reference could name it. */
export function parseRegistryHost(text: string): string | undefined {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::\d{1,5})?$/.test(text)) return undefined;
  return isHost(text) ? canonicalHost(text) : undefined;
}

export const credentialFor = (
  reference: string,
  { credentials }: RegistryAccess,
): RegistryCredential | undefined => credentials.find(({ host }) => host === registryOf(reference));
