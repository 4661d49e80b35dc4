/** The integration gates as part of the scheduler's state and turn. What they decide is `../gate`'s; here is what they see. */
import type { Event } from '../../shared/model/event.js';
import { defaultGateSettings, type GateSettings } from '../../shared/model/gate.js';
import type { ProjectId, RunId } from '../../shared/model/ids.js';
import { stageTitle } from '../../shared/model/pipeline.js';
import type { GateContext, RunResult, StageResult } from '../gate/command.js';
import { decideGate } from '../gate/decide.js';
import { handleGate } from '../gate/handle.js';
import type { Command, Handled, Now } from './command.js';
import { freshRunId } from './fresh-id.js';
import type { Presence } from './presence.js';
import type { RunState, State } from './state.js';
import type { Turn } from './turn.js';
import { runStatus } from './views.js';

/** Complete; undefined: there is no such project, or it has no gate. */
export function gateSettingsOf(state: State, project: ProjectId): GateSettings | undefined {
  const gate = state.projects.get(project)?.project.settings.gate;
  return gate === undefined ? undefined : { ...defaultGateSettings, ...gate };
}

export const gateContext = (state: State, now: Now): GateContext => ({
  now,
  settings: (project) => gateSettingsOf(state, project),
  runStatus: (run) => {
    const found = state.runs.get(run);
    if (found === undefined) return undefined;
    if (found.ended !== undefined) return 'ended';
    return runStatus(found) === 'running' ? 'running' : 'waiting';
  },
});

/** Its events have been applied. */
export function handleGateCommand(
  state: State,
  presence: Presence,
  { command }: Extract<Command, { kind: 'Gate' }>,
  now: Now,
): Handled {
  const beside = { presence: presence.gates, context: gateContext(state, now) };
  const { events, answer } = handleGate(state.gates, command, beside);
  return { events, answer: { kind: 'gate', answer } };
}

/** Behind everything else of the turn: runs that ended in it are told. Returns when the gates want to be asked again. */
export function decideGates(turn: Turn): number | undefined {
  const { state, presence, now } = turn;
  const beside = { presence: presence.gates, context: gateContext(state, now) };
  for (const run of gateRunsEndedIn(state, turn.events)) {
    const told = {
      kind: 'RunEnded',
      run: run.run,
      result: runResultOf(run),
      spare: spareRun(state, run.run),
    } as const;
    turn.events.push(...handleGate(state.gates, told, beside).events);
  }
  const { events, effects, wakeAtMs } = decideGate(state.gates, presence.gates, beside.context);
  turn.events.push(...events);
  for (const effect of effects) turn.perform({ kind: 'Gate', effect });
  return wakeAtMs;
}

/** The id of the run that tries again what `run` failed to test by our fault. */
export const spareRun = (state: State, run: RunId): RunId => freshRunId(`${state.seed}/${run}/again`);

function gateRunsEndedIn(state: State, events: readonly Event[]): readonly RunState[] {
  return events.flatMap((event) => {
    const run = event.kind === 'RunEnded' ? state.runs.get(event.run) : undefined;
    return run?.facts.event === 'gate' ? [run] : [];
  });
}

/** Of a run that has ended. */
export function runResultOf(run: RunState): RunResult {
  const stages = run.stages.map(({ outline, phase }): StageResult => {
    const { name, allowFailure } = outline;
    // All of them have ended, or the run would not have.
    const { status, failure } =
      phase.kind === 'ended' ? phase : { status: 'canceled' as const, failure: undefined };
    return {
      name,
      title: stageTitle(outline),
      status,
      allowFailure,
      ...(failure === undefined ? {} : { failure }),
    };
  });
  return { status: run.ended?.status ?? 'failed', stages };
}
