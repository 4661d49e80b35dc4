/** Which deployment is meant by ENV, by RUN, or by nothing at all where only one can be. */
import { shortRunId } from '../../../shared/model/ids.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { selectProject } from '../gate/select-project.js';
import type { Session } from '../session.js';
import { environmentFromWire, type ShownDeployment, type ShownEnvironment } from './environment-from-wire.js';

export interface Chosen {
  readonly environment: ShownEnvironment;
  readonly deployment: ShownDeployment;
}

export interface Wanted {
  /** Those that can be meant. */
  readonly isMeant: (deployment: ShownDeployment) => boolean;
  /** For messages: `waits for approval`. */
  readonly what: string;
  /** `gantry approve`. */
  readonly command: string;
}

/** Of the project that is named or that one stands in; else of all. Throws `CliError`. */
export async function chooseDeployment(
  api: Session['api'],
  word: string | undefined,
  named: string | undefined,
  wanted: Wanted,
): Promise<Chosen> {
  const project = await selectProject(api, named);
  const { environments = [] } = await api.environments.list({ project: { project }, all: project === '' });
  return choose(environments.map(environmentFromWire), word, wanted);
}

/** Pure. */
export function choose(
  environments: readonly ShownEnvironment[],
  word: string | undefined,
  { isMeant, what, command }: Wanted,
): Chosen {
  const all = environments.flatMap((environment) =>
    environment.open.filter(isMeant).map((deployment): Chosen => ({ environment, deployment })),
  );
  const found = word === undefined ? all : named(environments, all, word, what);
  const [only, ...others] = found;
  if (only === undefined) {
    const where = word === undefined ? 'nothing' : `no deployment of ${printable(word)}`;
    throw new CliError(exitCodes.notFound, `${where} ${what}`, {
      remedies: ['`gantry environments ls` shows what waits where'],
    });
  }
  if (others.length === 0) return only;
  throw new CliError(exitCodes.usage, `several deployments could be meant: name one`, {
    remedies: found.map(
      ({ environment, deployment }) =>
        `${command} ${shortRunId(deployment.run)}   # ${printable(environment.environment)} of ${printable(environment.projectName)}, ${printable(deployment.title)}`,
    ),
  });
}

function named(
  environments: readonly ShownEnvironment[],
  all: readonly Chosen[],
  word: string,
  what: string,
): readonly Chosen[] {
  if (environments.some(({ environment }) => environment === word)) {
    return all.filter(({ environment }) => environment.environment === word);
  }
  const typed = word.trim().toLowerCase();
  const ofRun = all.filter(({ deployment }) => typed !== '' && deployment.run.startsWith(typed));
  if (ofRun.length > 0) return ofRun;
  throw new CliError(
    exitCodes.notFound,
    `${printable(word)} is no environment here, nor a run of which a deployment ${what}`,
    { remedies: ['`gantry environments ls` shows what waits where; --project names another project'] },
  );
}
