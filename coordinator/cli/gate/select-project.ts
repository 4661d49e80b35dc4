import { projectNameOf } from '../project-name.js';
import type { Session } from '../session.js';

/** As it was named; else the project of the repository one stands in, if Gantry builds it; else empty: the only one. */
export async function selectProject(api: Session['api'], named: string | undefined): Promise<string> {
  if (named !== undefined) return named;
  const here = await projectNameOf(process.cwd());
  const { projects = [] } = await api.projects.list({});
  return projects.find(({ name, url }) => name === here || url === here)?.id ?? '';
}
