/** What each deployment brought: the commits since the one before it. */
import { Recent } from '../../shared/async/recent.js';
import type { DeploymentView, EnvironmentView } from '../../shared/model/environment-view.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { ProjectRepository } from '../source/project-repository.js';

export interface NewCommits {
  /** Null: nothing was there. */
  readonly since: CommitId | null;
  /** Newest first. */
  readonly commits: readonly { readonly commit: CommitId; readonly title: string }[];
  readonly more: boolean;
}

const mostCommits = 20;
/** Rows of the history that are looked at; each costs a git process once. */
const mostRows = 12;
/** A remote that is away keeps nobody from seeing an environment. */
const patienceMs = 3_000;

export class CommitsBetween {
  readonly #repositoryOf: (project: Project) => Pick<ProjectRepository, 'since'>;
  /** Two commits stay what they are, so it stays true. */
  readonly #known = new Recent<string, NewCommits>(1_000);

  constructor(repositoryOf: (project: Project) => Pick<ProjectRepository, 'since'>) {
    this.#repositoryOf = repositoryOf;
  }

  /** By deployment; one is missing while the repository cannot be read, or when it never began. */
  async ofAll(
    project: Project,
    view: EnvironmentView,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, NewCommits>> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
    const found = new Map<number, NewCommits>();
    for (const { deployment, since, commit } of rangesOf(view)) {
      const commits = await this.#between(project, { since, commit }, limited).catch(() => undefined);
      signal.throwIfAborted();
      if (commits !== undefined) found.set(deployment, commits);
    }
    return found;
  }

  async #between(
    project: Project,
    { since, commit }: { readonly since: CommitId | null; readonly commit: CommitId },
    signal: AbortSignal,
  ): Promise<NewCommits> {
    const key = `${project.id} ${since ?? ''} ${commit}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const all = await this.#repositoryOf(project).since(since ?? undefined, commit, signal);
    const commits = all.slice(0, mostCommits).map((one) => ({ commit: one.commit, title: one.title }));
    const found = { since, commits, more: all.length > mostCommits };
    this.#known.set(key, found);
    return found;
  }
}

interface Range {
  readonly deployment: number;
  readonly since: CommitId | null;
  readonly commit: CommitId;
}

/** Those that wait bring what is new to what is there; those that began brought what was new to the one that began before. */
function rangesOf({ open, current, history }: EnvironmentView): readonly Range[] {
  const all = new Map([...open, ...(current === null ? [] : [current]), ...history].map(keyed));
  const begun = [...all.values()]
    .filter(({ beganAt }) => beganAt !== null)
    .sort((a, b) => Date.parse(b.beganAt ?? '') - Date.parse(a.beganAt ?? ''));
  const waiting = open.filter(({ beganAt }) => beganAt === null);
  const ofWaiting = waiting.map(({ deployment, commit }): Range => ({
    deployment,
    commit,
    since: current?.commit ?? null,
  }));
  const ofBegun = begun.map(({ deployment, commit }, n): Range => ({
    deployment,
    commit,
    since: begun[n + 1]?.commit ?? null,
  }));
  // The history goes further back than these: the last of them knows the one before it, or there was none.
  return [...ofWaiting, ...ofBegun].slice(0, mostRows);
}

const keyed = (view: DeploymentView): [number, DeploymentView] => [view.deployment, view];
