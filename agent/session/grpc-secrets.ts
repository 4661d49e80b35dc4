/** `Fleet.Secrets`: what the coordinator gives to the holder of an attempt. */
import type { GitCredential } from '../../shared/git/credential.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { RegistryAccess } from '../../shared/model/registry.js';
import type { SecretsResponse__Output } from '../../shared/wire/gen/gantry/v1/SecretsResponse.js';
import { attemptRefToWire } from '../../shared/wire/refs.js';
import type { FleetCalls } from './grpc-calls.js';
import type { AttemptSecrets } from './session.js';

export async function secretsOf(
  calls: Pick<FleetCalls, 'secrets'>,
  what: { readonly ref: AttemptRef; readonly token: Token },
  signal: AbortSignal,
): Promise<AttemptSecrets> {
  const answer = await calls.secrets({ ref: attemptRefToWire(what.ref), token: what.token }, signal);
  const checkout = credentialOf(answer);
  const secret = answer.refusedSecret ?? '';
  return {
    values: new Map(Object.entries(answer.values ?? {})),
    ...(checkout === undefined ? {} : { checkout }),
    registries: registriesOf(answer),
    ...(secret === '' ? {} : { refused: { secret, why: answer.refusedWhy ?? '' } }),
  };
}

function registriesOf({ registries = [], registriesWithheld = '' }: SecretsResponse__Output): RegistryAccess {
  const credentials = registries.map(({ host = '', user = '', password = '' }) => ({ host, user, password }));
  return { credentials, ...(registriesWithheld === '' ? {} : { withheld: registriesWithheld }) };
}

function credentialOf(answer: SecretsResponse__Output): GitCredential | undefined {
  switch (answer.checkout) {
    case 'https':
      return { kind: 'https', user: answer.https?.user ?? '', token: answer.https?.token ?? '' };
    case 'ssh':
      return {
        kind: 'ssh',
        privateKey: answer.ssh?.privateKey ?? '',
        knownHosts: answer.ssh?.knownHosts ?? '',
      };
    default:
      return undefined;
  }
}
