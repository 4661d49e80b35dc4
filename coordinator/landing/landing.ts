/**
 * Performs what the gate's core decided (`../gate`), after it is durable: merges, runs, pushes, looks and chores. Every
 * effect may be performed twice and is answered with a command, also when it fails; what is not answered is asked for
 * again. Nothing here decides who lands.
 */
import { mostConflictFiles } from '../../shared/model/ejection.js';
import type { Candidate } from '../../shared/model/gate.js';
import { sourceName } from '../../shared/model/gate.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { GateCommand, GateEffect, MergeAnswer, PushAnswer } from '../gate/command.js';
import { findGate, isPushWanted } from '../gate/state.js';
import type { CommitBundle } from '../source/bundle-commit.js';
import type { GateRepository, MergeOutcome } from '../source/gate-repository.js';
import type { Chores } from './chores.js';
import type { GateRuns } from './gate-runs.js';

export interface LandingOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform' | 'read'>;
  readonly repository: (project: Project) => GateRepository;
  /** The bundles of candidates, where agents get them. */
  readonly bundles: {
    put(file: string, bundle: CommitBundle, signal: AbortSignal): Promise<void>;
    get(bundle: Candidate['bundle'], file: string, signal: AbortSignal): Promise<void>;
  };
  readonly runs: GateRuns;
  readonly chores: Chores;
  readonly newRunId: () => RunId;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

type Effect<Kind extends GateEffect['kind']> = Extract<GateEffect, { kind: Kind }>;

export class Landing {
  readonly #options: LandingOptions;
  readonly #working = new Set<string>();

  constructor(options: LandingOptions) {
    this.#options = options;
  }

  /** Returns at once. One that is under way already is not begun again. */
  perform(effect: GateEffect): void {
    const key = JSON.stringify(effect);
    if (this.#working.has(key) || this.#options.signal.aborted) return;
    this.#working.add(key);
    void this.#do(effect)
      .catch((error: unknown) => {
        // Not leading any more: whoever does is asked again.
        if (error instanceof NotLeading || this.#options.signal.aborted) return;
        this.#options.log.error({ err: error, effect: effect.kind }, 'the gate could not do what it decided');
      })
      .finally(() => this.#working.delete(key));
  }

  async #do(effect: GateEffect): Promise<void> {
    const project = await this.#project(effect.project);
    // Its gates are gone with it, and wait for no answer.
    if (project === undefined) return;
    switch (effect.kind) {
      case 'Merge':
        return this.#merge(effect, project);
      case 'StartRun':
        return this.#startRun(effect, project);
      case 'Push':
        return this.#push(effect, project);
      case 'FetchToVerify':
        return this.#look(effect, project);
      case 'DoChore':
        return this.#chore(effect, project);
    }
  }

  async #merge(effect: Effect<'Merge'>, project: Project): Promise<void> {
    const { repository, bundles, newRunId, signal } = this.#options;
    const { project: id, target, entry, base, of } = effect;
    const run = newRunId();
    const order = {
      base,
      commit: of.commit,
      method: of.method,
      source: sourceName(of.source),
      target,
      run,
      at: of.queuedAt,
    };
    const outcome = await repository(project).merge(order, {
      held: await this.#held(id),
      store: (file, bundle) => bundles.put(file, bundle, signal),
      signal,
    });
    const answer = mergeAnswer(outcome, { base, run });
    await this.#answer({ kind: 'MergeAnswered', project: id, target, entry, base, answer });
  }

  async #startRun(effect: Effect<'StartRun'>, project: Project): Promise<void> {
    const { runs } = this.#options;
    const command = await runs.start(effect, {
      project,
      read: async (signal) => {
        const repository = this.#options.repository(project);
        const found = await repository.read(effect.candidate.commit, signal);
        if (found !== undefined) return found;
        await this.#restore(effect, { project, candidate: effect.candidate, entry: effect.of.commit });
        return repository.read(effect.candidate.commit, signal);
      },
      changed: (signal) =>
        this.#options.repository(project).changed(effect.candidate.base, effect.candidate.commit, signal),
    });
    if (command !== undefined) await this.#answer(command);
  }

  async #push(effect: Effect<'Push'>, project: Project): Promise<void> {
    const { coordinator, repository, signal } = this.#options;
    const { project: id, target, entry, commit, expected } = effect;
    const isWanted = (): Promise<boolean> =>
      coordinator().read(({ state }) => isPushWanted(state.gates, { project: id, target, commit }));
    const land = () => repository(project).land({ target, commit, expected }, isWanted, signal);
    let outcome = await land();
    if (outcome?.kind === 'candidate-lost' && (await this.#restoreForPush(effect, project)))
      outcome = await land();
    const answer = pushAnswer(outcome);
    await this.#answer({ kind: 'PushAnswered', project: id, target, entry, commit, answer });
  }

  async #look(effect: Effect<'FetchToVerify'>, project: Project): Promise<void> {
    const { kind: _, project: id, target, doubt, ...asked } = effect;
    const sighting = await this.#options.repository(project).look({ target, ...asked }, this.#options.signal);
    const answer = sighting.kind === 'seen' ? { ...sighting, kind: 'fetched' as const } : sighting;
    await this.#answer({ kind: 'FetchAnswered', project: id, target, doubt, ...asked, answer });
  }

  async #chore({ project: id, target, chore, what }: Effect<'DoChore'>, project: Project): Promise<void> {
    const outcome = await this.#options.chores.do({ project, target, chore, what }, this.#options.signal);
    if (outcome.kind === 'again') return;
    const message = outcome.message === undefined ? {} : { message: outcome.message };
    await this.#answer({ kind: 'ChoreDone', project: id, target, chore, ...message });
  }

  /** Another coordinator merged it, or its copy is gone: it is had from storage. */
  async #restore(
    { target }: { readonly target: string },
    of: { readonly project: Project; readonly candidate: Candidate; readonly entry: CommitId },
  ): Promise<void> {
    const { repository, bundles, signal } = this.#options;
    const { project, candidate, entry } = of;
    await repository(project).restore(
      { commit: candidate.commit, target, entry },
      (file) => bundles.get(candidate.bundle, file, signal),
      signal,
    );
  }

  /** False: it cannot be had, and is built again. */
  async #restoreForPush(effect: Effect<'Push'>, project: Project): Promise<boolean> {
    const found = await this.#options.coordinator().read(({ state }) => {
      const entry = findGate(state.gates, effect)?.entries.find((other) => other.entry === effect.entry);
      return entry?.phase.kind === 'pushing'
        ? { candidate: entry.phase.candidate, entry: entry.commit }
        : undefined;
    });
    if (found === undefined) return false;
    try {
      await this.#restore(effect, { project, ...found });
      return true;
    } catch (error) {
      this.#options.signal.throwIfAborted();
      this.#options.log.warn({ err: error, commit: effect.commit }, 'a candidate is lost: it is built again');
      return false;
    }
  }

  #project(id: ProjectId): Promise<Project | undefined> {
    return this.#options.coordinator().read(({ state }) => state.projects.get(id)?.project);
  }

  /** What the project's copy must keep. */
  #held(project: ProjectId): Promise<ReadonlySet<CommitId>> {
    return this.#options.coordinator().read(({ state }) => {
      const entries = [...state.gates.all.values()]
        .filter((gate) => gate.project === project)
        .flatMap((gate) => gate.entries);
      return new Set(
        entries.flatMap(({ commit, phase }) =>
          'candidate' in phase ? [commit, phase.candidate.commit] : [commit],
        ),
      );
    });
  }

  async #answer(command: GateCommand): Promise<void> {
    await this.#options.coordinator().perform({ kind: 'Gate', command });
  }
}

function pushAnswer(outcome: Awaited<ReturnType<GateRepository['land']>>): PushAnswer {
  // It is wanted again if who paused the gate has resumed it since.
  if (outcome === undefined) return { kind: 'unknown', message: 'it was not wanted when its turn came' };
  return outcome.kind === 'pushed' ? { kind: 'landed' } : outcome;
}

function mergeAnswer(
  outcome: MergeOutcome,
  { base, run }: { readonly base: CommitId; readonly run: RunId },
): MergeAnswer {
  switch (outcome.kind) {
    case 'merged': {
      const { commit, bundle } = outcome;
      return { kind: 'merged', candidate: { commit, base, run, bundle } };
    }
    case 'conflict':
      return { kind: 'conflict', files: outcome.files.slice(0, mostConflictFiles) };
    case 'contained':
    case 'commit-missing':
    case 'base-missing':
    case 'refused-credentials':
    case 'unavailable':
      return outcome;
  }
}
