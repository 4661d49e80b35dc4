import type { Project } from '../../shared/model/project.js';
import type { ProjectId } from '../../shared/model/ids.js';
import type { GateMirrorOptions } from './gate-mirror.js';
import { GateRepository } from './gate-repository.js';

export interface GateRepositoriesOptions extends Pick<GateMirrorOptions, 'roots' | 'cacheDirectory'> {
  readonly credential: (
    project: ProjectId,
    use: 'fetch' | 'push',
  ) => ReturnType<GateMirrorOptions['credential']>;
  readonly hookEnvironment: (project: ProjectId) => ReturnType<GateMirrorOptions['hookEnvironment']>;
}

/** The gates' copies of all projects, each made when it is first needed. */
export class GateRepositories {
  readonly #options: GateRepositoriesOptions;
  readonly #known = new Map<ProjectId, { readonly url: string; readonly repository: GateRepository }>();

  constructor(options: GateRepositoriesOptions) {
    this.#options = options;
  }

  of({ id, url }: Pick<Project, 'id' | 'url'>): GateRepository {
    const known = this.#known.get(id);
    if (known?.url === url) return known.repository;
    const { roots, cacheDirectory, credential, hookEnvironment } = this.#options;
    const repository = new GateRepository({
      project: id,
      url,
      roots,
      cacheDirectory,
      credential: (use) => credential(id, use),
      hookEnvironment: () => hookEnvironment(id),
    });
    this.#known.set(id, { url, repository });
    return repository;
  }
}
