/** Whether somebody may push past a gate, as far as this machine can see: for `gantry doctor`. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import type { Project } from '../../shared/model/project.js';
import { gateTokenDigest } from '../secrets/gate-hook.js';
import type { Diagnosis } from './diagnose.js';
import { protectedRefs } from './gate.js';
import type { Services } from './services.js';

/** Only of repositories on this machine; how a server protects its branches cannot be asked by git. */
export async function diagnoseGates(services: Services): Promise<readonly Diagnosis[]> {
  const projects = await services.coordinator.read(({ state }) =>
    [...state.projects.values()]
      .map(({ project }) => project)
      .filter(({ settings }) => settings.gate !== undefined),
  );
  const found = await Promise.all(projects.map((project) => diagnoseGate(services, project)));
  return found.filter((one) => one !== undefined);
}

async function diagnoseGate(services: Services, project: Project): Promise<Diagnosis | undefined> {
  const repository = normalizeRepositoryUrl(project.url);
  if (repository.transport !== 'file') return undefined;
  const name = `gate of ${project.name.split('/').at(-1) ?? project.name}`;
  const refs = await protectedRefs(services, project);
  const hook = await readFile(path.join(repository.url, 'hooks', 'update'), 'utf8').catch(() => ''); // no hook, or not ours to read
  const digest = await gateTokenDigest(services.vault, project.id, 'gantry doctor');
  // The secret's digest, and not who wrote the hook, says that the gate itself gets through.
  const open = hook.includes(digest) ? refs.filter((ref) => !hook.includes(`'${ref}'`)) : refs;
  if (open.length === 0) {
    return { name, level: 'ok', message: `only the gate can push to ${refs.join(', ')}`, remedy: '' };
  }
  return {
    name,
    level: 'warning',
    message: `${open.join(', ')} of ${project.name} can be pushed to past the gate`,
    remedy: `gantry gate protect ${project.id} --install`,
  };
}
