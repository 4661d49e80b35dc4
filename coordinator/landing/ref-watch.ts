/**
 * Tells the gates what became of refs: that a target is elsewhere, that an entry's branch was force-pushed or deleted, that
 * somebody pushed a proposal. It looks at where the state has the refs, not at the moves that led there, so that a crash
 * between a move's record and what it means to a gate loses nothing: a new leader looks once at all of them.
 */
import { sleep } from '../../shared/async/sleep.js';
import type { Entry } from '../../shared/model/event.js';
import { parseGateEntryId, type GateEntryId } from '../../shared/model/gate.js';
import type { CommitId, ProjectId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { GateCommand } from '../gate/command.js';
import { readProposal } from '../gate/proposal.js';
import { gateSettingsOf } from '../scheduler/gates.js';
import { branchOf, type ProjectState } from '../scheduler/project-state.js';
import type { State } from '../scheduler/state.js';
import type { GateRepository } from '../source/gate-repository.js';
import { proposalId } from './proposal-id.js';

export interface RefWatchOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform' | 'read'>;
  readonly repository: (project: Project) => GateRepository;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

interface Watched {
  /** Something moved since the last look began. */
  again: boolean;
}

/** What a look at the state finds. */
interface Seen {
  readonly project: Project;
  readonly targets: readonly { readonly target: string; readonly tip: CommitId | null }[];
  /** Entries whose ref is not where their commit is. */
  readonly strayed: readonly { readonly ref: string; readonly commit: CommitId }[];
  readonly proposals: readonly Proposed[];
}

interface Proposed {
  readonly entry: GateEntryId;
  readonly ref: string;
  readonly target: string;
  readonly commit: CommitId;
  /** Whom a hook named. */
  readonly pusher: string | undefined;
}

const retryMs = 10_000;
/** What is forgotten is only looked at again. */
const mostRemembered = 10_000;

export class RefWatch {
  readonly #options: RefWatchOptions;
  readonly #looking = new Map<ProjectId, Watched>();
  /** `<ref> <commit> <tip>`: the branch went on from there, which changes nothing. */
  readonly #forward = new Set<string>();
  #isBegun = false;

  constructor(options: RefWatchOptions) {
    this.#options = options;
  }

  /** When this coordinator leads. */
  async begin(): Promise<void> {
    this.#isBegun = true;
    const projects = await this.#options
      .coordinator()
      .read(({ state }) =>
        [...state.projects.keys()].filter((id) => gateSettingsOf(state, id) !== undefined),
      );
    for (const project of projects) this.#look(project);
  }

  /** Of committed entries, in order. */
  take(entry: Entry): void {
    if (!this.#isBegun) return;
    for (const event of entry.events) {
      if (event.kind === 'RefsMoved') this.#look(event.project);
      if (event.kind === 'ProjectSet' && event.project.settings.gate !== undefined)
        this.#look(event.project.id);
    }
  }

  #look(project: ProjectId): void {
    const known = this.#looking.get(project);
    if (known !== undefined) {
      known.again = true;
      return;
    }
    const watched: Watched = { again: false };
    this.#looking.set(project, watched);
    void this.#lookUntilQuiet(project, watched).finally(() => this.#looking.delete(project));
  }

  async #lookUntilQuiet(project: ProjectId, watched: Watched): Promise<void> {
    const { log, signal } = this.#options;
    do {
      watched.again = false;
      try {
        await this.#lookOnce(project);
      } catch (error) {
        if (error instanceof NotLeading || signal.aborted) return;
        log.warn({ project, err: error }, 'the gate could not see what became of refs: looking again');
        watched.again = true;
        await sleep(retryMs, signal).catch(() => undefined);
      }
    } while (isWanted(watched) && !isOver(signal));
  }

  async #lookOnce(id: ProjectId): Promise<void> {
    const seen = await this.#options.coordinator().read(({ state }) => seenIn(state, id));
    if (seen === undefined) return;
    const { project, targets, strayed, proposals } = seen;
    for (const { target, tip } of targets) await this.#tell({ kind: 'TargetSeen', project: id, target, tip });
    // Before proposals: what left must not take along what came to the same ref.
    await this.#tellStrayed(project, strayed);
    for (const proposal of proposals) await this.#land(project, proposal);
  }

  async #tellStrayed(project: Project, strayed: Seen['strayed']): Promise<void> {
    if (strayed.length === 0) return;
    const repository = this.#options.repository(project);
    // The state may be behind: what the remote says now counts.
    const now = await repository.refs([...new Set(strayed.map(({ ref }) => ref))], this.#options.signal);
    if (now.kind !== 'refs') throw new Error(now.message);
    for (const { ref, commit } of strayed) {
      const tip = now.refs.get(ref);
      if (tip === commit) continue;
      const of = { kind: 'RefChanged', project: project.id, ref } as const;
      if (tip === undefined) {
        await this.#tell({ ...of, change: { kind: 'deleted' } });
        continue;
      }
      const key = `${ref} ${commit} ${tip}`;
      if (this.#forward.has(key)) continue;
      const how = await repository.compare(commit, tip, this.#options.signal);
      if (typeof how !== 'string') throw new Error(how.message);
      if (this.#forward.size >= mostRemembered) this.#forward.clear();
      if (how === 'forward') this.#forward.add(key);
      await this.#tell({ ...of, change: { kind: how, to: tip } });
    }
  }

  async #land(project: Project, { entry, ref, target, commit, pusher }: Proposed): Promise<void> {
    const described = await this.#options.repository(project).describe(commit, this.#options.signal);
    // It moved on meanwhile: the next poll says where to.
    if (described.kind === 'commit-missing') return;
    if (described.kind !== 'commit') throw new Error(described.message);
    const { title, author } = described;
    await this.#tell({
      kind: 'Land',
      project: project.id,
      target,
      entry,
      commit,
      source: { kind: 'proposal', ref },
      title,
      author,
      by: pusher ?? author,
    });
  }

  async #tell(command: GateCommand): Promise<void> {
    const answer = await this.#options.coordinator().perform({ kind: 'Gate', command });
    if (command.kind === 'Land' && answer.kind === 'gate' && answer.answer.kind === 'refused') {
      const { message } = answer.answer;
      this.#options.log.warn(
        { project: command.project, ref: command.source.ref, message },
        'a proposal is not queued',
      );
    }
  }
}

/** Asked anew after an await; a plain test is taken by the compiler for what it was before. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;
const isWanted = ({ again }: Watched): boolean => again;

function seenIn(state: State, id: ProjectId): Seen | undefined {
  const known = state.projects.get(id);
  const settings = gateSettingsOf(state, id);
  if (known?.polled !== true || settings === undefined) return undefined;
  const gates = [...state.gates.all.values()].filter((gate) => gate.project === id);
  const entries = gates.flatMap((gate) => gate.entries);
  const targets = new Set([...settings.targets, ...gates.map(({ target }) => target)]);
  return {
    project: known.project,
    targets: [...targets].flatMap((target) => {
      const ref = known.refs.get(`refs/heads/${target}`);
      return ref === undefined ? [] : [{ target, tip: ref.tip ?? null }];
    }),
    strayed: entries
      .filter(({ source, commit }) => known.refs.get(source.ref)?.tip !== commit)
      .map(({ source, commit }) => ({ ref: source.ref, commit })),
    proposals: proposalsIn(known).filter(
      ({ ref, commit, entry }) =>
        !entries.some((other) => other.source.ref === ref && other.commit === commit) &&
        !gates.some(({ ended }) => ended.some((other) => other.entry === entry)),
    ),
  };
}

function proposalsIn({ project, refs }: ProjectState): readonly Proposed[] {
  const branches = new Set(
    [...refs].flatMap(([ref, { tip }]) => {
      const branch = branchOf(ref);
      return branch === undefined || tip === undefined ? [] : [branch];
    }),
  );
  return [...refs].flatMap(([ref, { tip, moves, pusher }]) => {
    const target = tip === undefined ? undefined : readProposal(ref, branches)?.target;
    if (tip === undefined || target === undefined) return [];
    const entry = parseGateEntryId(proposalId(project.id, ref, moves));
    if (entry === undefined) return [];
    return [{ entry, ref, target, commit: tip, pusher }];
  });
}
