/** What a deployment waits for, in sentences for people, by the function that decides what it does next. */
import { describeUnknown } from '../../shared/model/deployment.js';
import type { DeliveryContext } from './command.js';
import { keyOf } from './keys.js';
import { nextStep } from './next-step.js';
import { presenceOf, type DeliveryPresence } from './presence.js';
import type { Deliveries, Deployment, Environment } from './state.js';
import type { Sight, Wait } from './step.js';

export interface Beside {
  readonly deliveries: Deliveries;
  readonly presence: DeliveryPresence;
  readonly context: DeliveryContext;
}

/** Empty when the next decision moves it on, or when its steps run. */
export function reasonsOf(
  beside: Beside,
  environment: Environment,
  deployment: Deployment,
): readonly string[] {
  const { deliveries, presence, context } = beside;
  const sight: Sight = { deliveries, environment, context };
  const step = nextStep(sight, deployment);
  if (step.kind !== 'wait' || step.wait.kind === 'runs') return [];
  const key = keyOfWait(deployment, step.wait);
  const problem = key === undefined ? undefined : presenceOf(presence, environment).problems.get(key);
  const sentence = sentenceOf(environment, deployment, step.wait);
  return [problem === undefined ? sentence : `${sentence} (the last try: ${problem})`];
}

function keyOfWait({ deployment, verification }: Deployment, wait: Wait): string | undefined {
  switch (wait.kind) {
    case 'compare':
      return keyOf.compare(wait.pair);
    case 'rollback-run':
      return keyOf.rollback(deployment);
    case 'verify':
      return keyOf.verify(deployment, verification);
    case 'approval':
    case 'lock':
    case 'rollback-first':
    case 'held':
    case 'rolled-back':
    case 'agent':
    case 'runs':
    case 'settle':
      return undefined;
  }
}

function sentenceOf({ environment }: Environment, deployment: Deployment, wait: Wait): string {
  switch (wait.kind) {
    case 'compare':
      return `whether it is newer than ${wait.pair.other} is being looked up`;
    case 'approval': {
      const { by, notAuthor } = wait.rule;
      const who = by.length === 0 ? 'somebody who may deploy' : by.join(' or ');
      return `it waits for the approval of ${who}${notAuthor ? ', who is not an author of it' : ''} (\`gantry approve\`)`;
    }
    case 'lock':
      return lockSentence(environment, wait.holder);
    case 'rollback-first':
      return `${environment} is rolled back first`;
    case 'held':
      return (
        `${environment} was held by ${wait.by}${wait.reason === undefined ? '' : ` (${wait.reason})`}: ` +
        `\`gantry environments resume ${environment}\``
      );
    case 'rolled-back':
      return (
        `${environment} was rolled back from ${wait.from}, and takes what is newer than that, or anything after ` +
        `\`gantry environments resume ${environment}\``
      );
    case 'agent':
      return `${environment} is free for it, and it waits for an agent`;
    case 'rollback-run':
      return 'its run is being prepared';
    case 'runs':
      return 'it runs';
    case 'verify':
      return deployment.phase.kind === 'unknown'
        ? `${unknownPart(deployment)}its verify is to say it, or somebody by \`gantry environments settle ${environment}\``
        : 'its verify is to say how it came out';
    case 'settle':
      return `${unknownPart(deployment)}look at ${environment}, then \`gantry environments settle ${environment} --good\` or \`--bad\``;
  }
}

function lockSentence(environment: string, { deployment, phase, run }: Deployment): string {
  return phase.kind === 'unknown'
    ? `nobody knows how deployment ${deployment} came out, and ${environment} takes no other before that is settled (\`gantry environments settle ${environment}\`)`
    : `deployment ${deployment} of run ${run} has ${environment} for itself`;
}

const unknownPart = ({ phase }: Deployment): string =>
  phase.kind === 'unknown' ? `nobody knows how it came out (${describeUnknown(phase.cause)}): ` : '';

/** Why no deployment goes to an environment by itself, a sentence each. */
export function holdsOf({ environment, held, rolledBack }: Environment): readonly string[] {
  const holds: string[] = [];
  if (held !== undefined) {
    holds.push(`held by ${held.by}${held.reason === undefined ? '' : `: ${held.reason}`}`);
  }
  if (rolledBack !== undefined) {
    holds.push(`rolled back from ${rolledBack.from}: only what is newer goes to ${environment} by itself`);
  }
  return holds;
}
