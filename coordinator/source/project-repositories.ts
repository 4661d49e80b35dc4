import type { GitCredential } from '../../shared/git/credential.js';
import type { ProjectId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import { ProjectRepository } from './project-repository.js';

export interface ProjectRepositoriesOptions {
  readonly roots: readonly string[];
  readonly cacheDirectory: string;
  /** For fetching, as the project has it now. */
  readonly credential: (project: ProjectId) => Promise<GitCredential | undefined>;
}

/** The repositories of all projects; each keeps its own copy. */
export class ProjectRepositories {
  readonly #options: ProjectRepositoriesOptions;
  readonly #known = new Map<ProjectId, { readonly url: string; readonly repository: ProjectRepository }>();

  constructor(options: ProjectRepositoriesOptions) {
    this.#options = options;
  }

  of({ id, url }: Pick<Project, 'id' | 'url'>): ProjectRepository {
    const known = this.#known.get(id);
    if (known?.url === url) return known.repository;
    const { roots, cacheDirectory, credential } = this.#options;
    const repository = new ProjectRepository({
      project: id,
      url,
      roots,
      cacheDirectory,
      credential: () => credential(id),
    });
    this.#known.set(id, { url, repository });
    return repository;
  }

  /** Whether the repository can be read with this credential. Throws `CheckoutError` when not. */
  async probe(
    { id, url }: Pick<Project, 'id' | 'url'>,
    credential: GitCredential | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { roots, cacheDirectory } = this.#options;
    const repository = new ProjectRepository({
      project: id,
      url,
      roots,
      cacheDirectory,
      credential: () => Promise.resolve(credential),
    });
    await repository.refs(signal);
  }

  forget(project: ProjectId): void {
    this.#known.delete(project);
  }
}
