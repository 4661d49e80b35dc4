/** What a step does: a command in the box, or the build of an image beside it. Both are followed in the same way. */
import type { PlannedStep } from '../../shared/model/pipeline.js';
import {
  ExecutorError,
  type Box,
  type RunningStep,
  type StepCommand,
  type StepHandle,
  type StepLog,
} from '../executor/executor.js';
import type { AttemptState } from './attempt-state.js';
import { buildCommand } from './build-step.js';
import type { AttemptContext } from './context.js';
import { stepEnv } from './facts.js';
import { untilAborted } from './step-logs.js';

export interface StepWork {
  /** For `StepStarted`. */
  readonly shell: string;
  prepare(): Promise<StepHandle>;
  start(handle: StepHandle): Promise<RunningStep>;
  /** After a restart of the agent. */
  resume(handle: StepHandle): Promise<RunningStep>;
  /** The log of one that has ended under a former process. */
  reopen(handle: StepHandle): Promise<StepLog>;
}

export async function workOf(context: AttemptContext, box: Box, step: PlannedStep): Promise<StepWork> {
  if (step.build !== undefined) return buildWork(context, box, step);
  const command = await commandOf(context, box, step);
  return {
    shell: box.shell,
    prepare: () => box.prepareStep(command),
    start: (handle) => box.startStep(command, handle),
    resume: (handle) => box.resumeStep(command, handle),
    reopen: async (handle) => {
      const running = await box.resumeStep(command, handle);
      await untilAborted(running.finished, context.stop.alive);
      return running.log;
    },
  };
}

async function buildWork(context: AttemptContext, box: Box, step: PlannedStep): Promise<StepWork> {
  const { builder } = box;
  if (builder === undefined || step.build === undefined) {
    const message = `step ${step.number} builds an image, which takes an agent that runs steps with Docker`;
    throw new ExecutorError({ kind: 'invalid-pipeline', message });
  }
  await context.secrets.get(context.stop.wanted);
  const command = buildCommand(context, step.number, step.build);
  return {
    shell: 'docker build',
    prepare: () => box.prepareStep(command),
    start: (handle) => builder.startBuild(command, handle),
    resume: (handle) => builder.resumeBuild(command, handle),
    reopen: async (handle) => {
      const log = await builder.openLog(command, handle);
      if (log !== undefined) return log;
      const message = `the log of step ${step.number} was removed while the agent was away`;
      throw new ExecutorError({ kind: 'box-broken', message });
    },
  };
}

async function commandOf(context: AttemptContext, box: Box, step: PlannedStep): Promise<StepCommand> {
  const { settings } = context.tools;
  const place = { agent: settings.agentName, workspace: box.workspacePath };
  await context.secrets.get(context.stop.wanted);
  const { state } = context.record;
  const written = { ...imageEnv(state), ...(await box.readEnv()) };
  const secret = (name: string): string => context.secrets.value(name);
  return {
    number: step.number,
    run: step.run,
    ...stepEnv({ assignment: state.assignment, place, written, step, secret }),
    ...(step.workdir === undefined ? {} : { workdir: step.workdir }),
    logLimitBytes: settings.logLimitBytes,
  };
}

/** The image that was built last. */
function imageEnv({ steps }: AttemptState): Readonly<Record<string, string>> {
  const built = [...steps.values()].flatMap(({ ended }) => ended?.result.built ?? []).at(-1);
  return built === undefined ? {} : { GANTRY_IMAGE: built.reference };
}
