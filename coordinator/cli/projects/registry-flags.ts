/** Flags that say what a project's images are pulled and pushed with. */
import type { RegistryCredential } from '../../../shared/wire/gen/gantry/v1/RegistryCredential.js';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { readSecret } from '../secret-input.js';

export interface RegistryFlags {
  readonly registry?: string;
  readonly registryUser?: string;
  readonly registryPasswordFile?: string;
  readonly forgetRegistry?: readonly string[];
}

/** What the flags say; where no file is named, a person types the password, or it comes from stdin. */
export async function registriesFrom(flags: RegistryFlags): Promise<RegistryCredential[]> {
  const { registry, registryUser, registryPasswordFile, forgetRegistry = [] } = flags;
  const forgotten = forgetRegistry.map((host) => ({ host, none: true }));
  if (registry === undefined) {
    if (registryUser === undefined && registryPasswordFile === undefined) return forgotten;
    throw new CliError(exitCodes.usage, 'a user or password of a registry needs --registry HOST');
  }
  if (registryUser === undefined) {
    throw new CliError(exitCodes.usage, `--registry ${registry} needs --registry-user USER`);
  }
  const password = await readSecret({
    prompt: `Password of ${registryUser} at ${registry} (not shown): `,
    ...(registryPasswordFile === undefined ? {} : { file: registryPasswordFile }),
  });
  return [...forgotten, { host: registry, user: registryUser, password }];
}
