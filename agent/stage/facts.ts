/** What a step finds in its environment about its run. */
import type { Assignment } from '../../shared/model/agent.js';
import { stageTitle, type PlannedStep } from '../../shared/model/pipeline.js';

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

/** A step's whole environment beyond the image's own; later wins: facts, stage, `$GANTRY_ENV`, step. */
export function stepEnv(
  assignment: Assignment,
  place: Place,
  written: Readonly<Record<string, string>>,
  step: PlannedStep,
): Readonly<Record<string, string>> {
  return { ...factsEnv(assignment, place), ...assignment.plan.env, ...written, ...step.env };
}

function definedOnly(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) defined[name] = value;
  }
  return defined;
}
