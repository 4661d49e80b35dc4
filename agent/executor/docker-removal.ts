/** Removing what carries an agent's labels: containers first, then the networks they were on. */
import type Docker from 'dockerode';
import { attemptKey, type AgentId } from '../../shared/model/ids.js';
import { ignoreStatus, statusOf } from './docker-daemon.js';
import { removeNetwork } from './docker-network.js';
import { labelFilter, labelNames, type Owned } from './docker-options.js';
import { sleep } from '../../shared/async/sleep.js';

const removalMs = 30_000;

/** Removes a container whatever its state; resolves once it is gone. */
async function removeContainer(docker: Docker, id: string): Promise<void> {
  const container = docker.getContainer(id);
  const deadline = performance.now() + removalMs;
  for (;;) {
    try {
      await container.remove({ force: true, v: true });
      return;
    } catch (error) {
      if (statusOf(error) === 404) return;
      // 409: someone else's removal is under way.
      if (statusOf(error) !== 409 || performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

async function removeLabelled(
  docker: Docker,
  labels: Readonly<Record<string, string>>,
  wanted: (labels: Readonly<Record<string, string>>) => boolean,
): Promise<void> {
  const filters = labelFilter(labels);
  const containers = await docker.listContainers({ all: true, filters });
  await Promise.all(
    containers.filter((each) => wanted(each.Labels)).map((each) => removeContainer(docker, each.Id)),
  );
  const networks = await docker.listNetworks({ filters });
  await Promise.all(
    networks
      .filter((each) => each.Labels?.[labelNames.role] !== 'shared-network' && wanted(each.Labels ?? {}))
      .map((each) => removeNetwork(docker, each.Id).catch(ignoreStatus(404))),
  );
}

/** All of one attempt. The token is not asked for: of an attempt there is one box at a time. */
export const removeAttempt = (docker: Docker, owned: Owned): Promise<void> =>
  removeLabelled(
    docker,
    { [labelNames.agent]: owned.agent, [labelNames.attempt]: attemptKey(owned.ref) },
    () => true,
  );

/** All of an agent but what belongs to an attempt in `keep`. */
export const removeAllBut = (docker: Docker, agent: AgentId, keep: ReadonlySet<string>): Promise<void> =>
  removeLabelled(
    docker,
    { [labelNames.agent]: agent },
    (labels) => !keep.has(labels[labelNames.attempt] ?? ''),
  );
