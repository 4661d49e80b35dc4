/** What a step finds in its environment about its run. */
import type { Assignment } from '../../shared/model/agent.js';
import { stageTitle, type PlannedStep, type SecretUse } from '../../shared/model/pipeline.js';

/** Where the attempt runs. */
export interface Place {
  readonly agent: string;
  /** The workspace's path as the step sees it. */
  readonly workspace: string;
}

/** `CI` and `GANTRY_*`. A fact that the run does not have is not set. */
export function factsEnv(assignment: Assignment, place: Place): Readonly<Record<string, string>> {
  const { facts, plan } = assignment;
  const known: Record<string, string | undefined> = {
    CI: 'true',
    GANTRY: 'true',
    GANTRY_RUN: assignment.run,
    GANTRY_STAGE: stageTitle(plan),
    GANTRY_ATTEMPT: String(assignment.attempt),
    GANTRY_EVENT: facts.event,
    GANTRY_PROJECT: facts.projectName,
    GANTRY_COMMIT: facts.commit,
    GANTRY_BASE_COMMIT: facts.baseCommit,
    GANTRY_BRANCH: facts.branch,
    GANTRY_TARGET: facts.target,
    GANTRY_TAG: facts.tag,
    GANTRY_AUTHOR: facts.author,
    GANTRY_MESSAGE: facts.title,
    GANTRY_BY: facts.by,
    GANTRY_AGENT: place.agent,
    GANTRY_WORKSPACE: place.workspace,
  };
  for (const [name, value] of Object.entries(facts.inputs)) known[inputVariable(name)] = value;
  return definedOnly(known);
}

/** `deploy-to` becomes `GANTRY_INPUT_DEPLOY_TO`. */
export function inputVariable(name: string): string {
  return `GANTRY_INPUT_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
}

export interface StepEnvInput {
  readonly assignment: Assignment;
  readonly place: Place;
  /** What earlier steps wrote to `$GANTRY_ENV`. */
  readonly written: Readonly<Record<string, string>>;
  readonly step: PlannedStep;
  /** A secret's value by its name. */
  readonly secret: (name: string) => string;
}

export interface StepEnv {
  readonly env: Readonly<Record<string, string>>;
  /** Variables that may hold a secret. */
  readonly secretVariables: readonly string[];
}

/**
 * A step's whole environment beyond the image's own; later wins: facts, stage, `$GANTRY_ENV`, step. On one level no
 * variable is both env and secret (the pipeline is refused), so the secrets of a level stand beside its env.
 */
export function stepEnv({ assignment, place, written, step, secret }: StepEnvInput): StepEnv {
  const { plan } = assignment;
  const values = (uses: readonly SecretUse[] = []): Record<string, string> =>
    Object.fromEntries(uses.map(({ variable, secret: name }) => [variable, secret(name)]));
  const env = {
    ...factsEnv(assignment, place),
    ...plan.env,
    ...values(plan.secrets),
    ...written,
    ...step.env,
    ...values(step.secrets),
  };
  const uses = [...(plan.secrets ?? []), ...(step.secrets ?? [])];
  return { env, secretVariables: [...new Set(uses.map(({ variable }) => variable))] };
}

function definedOnly(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) defined[name] = value;
  }
  return defined;
}
