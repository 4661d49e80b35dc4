/** Credentials of registries as the daemon's calls take them. Pure. */
import type Docker from 'dockerode';
import { credentialFor, registryOf, type RegistryAccess } from '../../shared/model/registry.js';

/** Of the one registry that a reference names; undefined: none. */
export function authFor(reference: string, access: RegistryAccess): Docker.AuthConfig | undefined {
  const credential = credentialFor(reference, access);
  if (credential === undefined) return undefined;
  const { user, password, host } = credential;
  return { username: user, password, serveraddress: serverOf(host) };
}

/** Of all: a build pulls what its Dockerfile names. */
export const registryConfig = ({ credentials }: RegistryAccess): Docker.RegistryConfig =>
  Object.fromEntries(
    credentials.map(({ host, user, password }) => [serverOf(host), { username: user, password }]),
  );

/** Docker's own registry goes by the address of its former API. */
const serverOf = (host: string): string => (host === 'docker.io' ? 'https://index.docker.io/v1/' : host);

/** What to do where a registry has said no: a sentence that goes on behind its words. */
export function accessRemedy(reference: string, access: RegistryAccess): string {
  const host = registryOf(reference);
  const known = credentialFor(reference, access);
  if (known !== undefined) {
    return `; ${host} was asked as user ${known.user}: set other credentials with \`gantry projects set PROJECT --registry ${host} --registry-user USER --registry-password-file FILE\``;
  }
  if (access.withheld !== undefined) return `; ${access.withheld}`;
  return `; check name and tag; if ${host} asks for credentials: \`gantry projects set PROJECT --registry ${host} --registry-user USER --registry-password-file FILE\``;
}
