/** What is left to do when an entry has ended: nobody waits for it, and it is done again until it is done. */
import type { Project } from '../../shared/model/project.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Coordinator } from '../coordinator.js';
import type { Chore, GateNotice } from '../gate/state.js';
import type { GateRepository } from '../source/gate-repository.js';
import { reportedMove } from '../triggers/push-identity.js';

export interface ChoreOrder {
  readonly project: Project;
  readonly target: string;
  /** With project and target it names the chore for good. */
  readonly chore: number;
  readonly what: Chore;
}

export type ChoreOutcome =
  /** `message`: it cannot be done, and is given up. */
  { readonly kind: 'done'; readonly message?: string } | { readonly kind: 'again' };

export interface ChoresOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform'>;
  readonly repository: (project: Project) => Pick<GateRepository, 'deleteRef'>;
  /** Tells people. Resolves once everybody has heard or never will; rejects when it is to be tried again. */
  readonly tell: (
    news: Omit<ChoreOrder, 'what'> & { readonly notice: GateNotice },
    signal: AbortSignal,
  ) => Promise<void>;
}

const done: ChoreOutcome = { kind: 'done' };

export class Chores {
  readonly #options: ChoresOptions;

  constructor(options: ChoresOptions) {
    this.#options = options;
  }

  async do(order: ChoreOrder, signal: AbortSignal): Promise<ChoreOutcome> {
    const { what, project } = order;
    switch (what.kind) {
      case 'cancel-run':
        // One that never began, or has ended, is refused: that is as good.
        await this.#options.coordinator().perform({ kind: 'Cancel', run: what.run, by: 'the gate' });
        return done;
      case 'delete-ref':
        return this.#deleteRef(order, what, signal);
      case 'start-push-run':
        // The same move that a poll or a hook will tell of, so it is one run.
        await this.#report(project, what.by, {
          ref: `refs/heads/${order.target}`,
          old: what.from,
          new: what.to,
        });
        return done;
      case 'notify':
        await this.#options.tell({ ...order, notice: what.notice }, signal);
        return done;
    }
  }

  async #deleteRef(
    { project }: ChoreOrder,
    { ref, old }: Extract<Chore, { kind: 'delete-ref' }>,
    signal: AbortSignal,
  ): Promise<ChoreOutcome> {
    const outcome = await this.#options.repository(project).deleteRef(ref, old, signal);
    switch (outcome.kind) {
      case 'pushed':
        // Known at once, so that the same commit pushed there again is a new proposal.
        await this.#report(project, 'the gate', { ref, old });
        return done;
      case 'moved':
        return done;
      case 'refused-content':
      case 'refused-credentials':
        return { kind: 'done', message: outcome.message };
      case 'unknown':
        return { kind: 'again' };
    }
  }

  async #report(
    { id }: Project,
    pusher: string,
    move: { readonly ref: string; readonly old: CommitId; readonly new?: CommitId },
  ): Promise<void> {
    await this.#options.coordinator().perform({
      kind: 'ReportMoves',
      project: id,
      source: { kind: 'gate', pusher },
      moves: [reportedMove(id, move)],
    });
  }
}
