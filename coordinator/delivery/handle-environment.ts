/** Adding, setting and removing environments, and keeping deployments out of them. */
import { namePattern } from '../../shared/model/ids.js';
import type { EnvironmentSettings } from '../../shared/model/environment.js';
import type { DeliveryCommand, DeliveryHandled } from './command.js';
import { accept, done, noEnvironment, refuse, type World } from './respond.js';
import { findEnvironment, refOf, type Deliveries, type Environment } from './state.js';

/** More environments than this in a project are a mistake of some script, and each costs in every snapshot. */
const mostEnvironments = 100;

type Of<K extends DeliveryCommand['kind']> = Extract<DeliveryCommand, { readonly kind: K }>;

export function set({ deliveries, context }: World, command: Of<'SetEnvironment'>): DeliveryHandled {
  const { project, environment: name, settings, by } = command;
  if (!context.hasProject(project)) return refuse('there is no such project: `gantry projects add` it first');
  if (!namePattern.test(name)) {
    return refuse(
      `${name} is no name of an environment: letters, digits, ".", "_" and "-", at most 64 characters`,
    );
  }
  const problem = chainProblem(deliveries, command);
  if (problem !== undefined) return refuse(problem);
  const known = findEnvironment(deliveries, command);
  if (known === undefined && inProject(deliveries, command).length >= mostEnvironments) {
    return refuse(`the project has ${mostEnvironments} environments already`);
  }
  // What stays as it is leaves approvals as they are.
  if (known !== undefined && isSame(known.settings, settings)) return done;
  return accept([{ kind: 'EnvironmentSet', project, environment: name, settings, by }]);
}

const inProject = ({ all }: Deliveries, { project }: Pick<Environment, 'project'>): readonly Environment[] =>
  [...all.values()].filter((other) => other.project === project);

/** Who comes before it must be there, and must not in the end come behind it. */
function chainProblem(deliveries: Deliveries, command: Of<'SetEnvironment'>): string | undefined {
  const { project, environment: name, settings } = command;
  const passed = new Set([name]);
  for (let from = settings.promotesFrom; from !== undefined;) {
    if (passed.has(from)) return `${name} cannot be promoted from ${from}, which comes behind it`;
    passed.add(from);
    const before = findEnvironment(deliveries, { project, environment: from });
    if (before === undefined) return `there is no environment ${from} to promote from: add it first`;
    from = before.settings.promotesFrom;
  }
  return undefined;
}

/** Settings are plain data, completed by one function, so that the order of their keys says nothing. */
const isSame = (one: EnvironmentSettings, other: EnvironmentSettings): boolean =>
  canonical(one) === canonical(other);

const canonical = (settings: EnvironmentSettings): string => {
  const { approval } = settings;
  const rule = approval === undefined ? null : [approval.by, approval.notAuthor];
  const { url, branches, promotesFrom, differs, rollsBack, verify, notify } = settings;
  return JSON.stringify([url, rule, branches, promotesFrom, differs, rollsBack, verify, notify]);
};

export function remove({ deliveries }: World, command: Of<'RemoveEnvironment'>): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return noEnvironment(command);
  if (environment.open.length > 0) {
    const many = environment.open.length;
    return refuse(
      `${environment.environment} has ${many === 1 ? 'a deployment that is' : `${many} deployments that are`} not over: cancel, reject or settle ${many === 1 ? 'it' : 'them'} first`,
    );
  }
  const behind = inProject(deliveries, environment).find(
    ({ settings }) => settings.promotesFrom === environment.environment,
  );
  if (behind !== undefined) {
    return refuse(`${behind.environment} is promoted from ${environment.environment}: change that first`);
  }
  return accept([{ kind: 'EnvironmentRemoved', ...refOf(environment), by: command.by }]);
}

export function hold({ deliveries }: World, command: Of<'HoldEnvironment'>): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return noEnvironment(command);
  if (environment.held !== undefined) return done;
  const { by, reason } = command;
  const event = { kind: 'EnvironmentHeld', ...refOf(environment), by } as const;
  return accept([reason === undefined ? event : { ...event, reason }]);
}

/** Whoever put it there, and whatever for: a hold, and what a rollback left behind. */
export function resume({ deliveries }: World, command: Of<'ResumeEnvironment'>): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return noEnvironment(command);
  if (environment.held === undefined && environment.rolledBack === undefined) return done;
  return accept([{ kind: 'EnvironmentResumed', ...refOf(environment), by: command.by }]);
}
