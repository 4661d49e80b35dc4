import { projectOf } from '../../shared/git/repository-url.js';
import type { ProjectId } from '../../shared/model/ids.js';

/** The projects that a caller may know of and touch. */
export class Reach {
  /** Undefined: all. */
  readonly names: readonly string[] | undefined;
  readonly #ids: ReadonlySet<ProjectId> | undefined;

  /** Each list is a limit, and all of them count: of the user, of the token. An empty one limits nothing. */
  constructor(...limits: readonly (readonly string[])[]) {
    const [first, ...others] = limits.filter((names) => names.length > 0);
    this.names = first?.filter((name) => others.every((names) => names.includes(name)));
    this.#ids = this.names && new Set(this.names.map((name) => projectOf(name).id));
  }

  get isLimited(): boolean {
    return this.#ids !== undefined;
  }

  has(project: ProjectId): boolean {
    return this.#ids?.has(project) ?? true;
  }

  /** `all projects`, or their names. */
  get description(): string {
    if (this.names === undefined) return 'all projects';
    return this.names.length === 0 ? 'no project' : this.names.join(', ');
  }
}
