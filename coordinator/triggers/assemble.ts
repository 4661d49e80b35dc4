/** Poller, webhook and triggers put on the coordinator's loop: what they know of the state, and what they tell it. */
import type { Logger } from '../../shared/log.js';
import type { ProjectId } from '../../shared/model/ids.js';
import type { MoveSource, ReportedMove } from '../../shared/model/project.js';
import { maxCommandBytes, type Coordinator } from '../coordinator.js';
import type { Vault } from '../secrets/vault.js';
import type { ProjectRepositories } from '../source/project-repositories.js';
import { movesBetween } from './moves.js';
import { Poller } from './poller.js';
import { Triggers, type TriggersOptions } from './triggers.js';
import {
  takeDelivery,
  type Taken,
  type WebhookAnswer,
  type WebhookOptions,
  type WebhookRequest,
} from './webhook.js';

interface Parts {
  readonly coordinator: Coordinator;
  readonly repositories: ProjectRepositories;
  readonly log: Logger;
}

export function pollerOf({ coordinator, repositories, log }: Parts): Poller {
  return new Poller({
    projects: () =>
      coordinator.read(
        ({ state }) =>
          new Map([...state.projects.values()].map(({ project }) => [project.id, project.settings.pollMs])),
      ),
    refs: async (id, signal) => {
      const project = await coordinator.read(({ state }) => state.projects.get(id)?.project);
      return project === undefined ? { commits: new Map() } : repositories.of(project).refs(signal);
    },
    news: (id, seen) =>
      coordinator.read(({ state }) => {
        const known = state.projects.get(id);
        if (known === undefined) return undefined;
        const head = seen.head?.replace(/^refs\/heads\//, '');
        return {
          moves: movesBetween(known.refs, seen.commits),
          isSettled: known.polled && (head === undefined || head === known.head),
        };
      }),
    report: async (project, source, moves, head) => {
      const answer = await report(coordinator, {
        project,
        source,
        moves,
        ...(head === undefined ? {} : { head }),
      });
      if (answer.kind !== 'moved') throw new Error(`what was seen could not be recorded: ${answer.message}`);
      return answer.runs;
    },
    log,
  });
}

export function triggersOf(parts: Parts & Pick<TriggersOptions, 'start' | 'signal'>): Triggers {
  const { coordinator, repositories, start, log, signal } = parts;
  return new Triggers({
    pending: (run) =>
      coordinator.read(({ state }) => {
        const trigger = state.triggers.get(run);
        const project = trigger === undefined ? undefined : state.projects.get(trigger.project)?.project;
        return trigger === undefined || project === undefined ? undefined : { trigger, project };
      }),
    commits: (project) => repositories.of(project),
    start,
    settle: async (run, reason) => {
      await coordinator.perform({ kind: 'SettleTrigger', run, reason });
    },
    log,
    signal,
  });
}

export function webhookOf(parts: {
  readonly coordinator: Coordinator;
  readonly vault: Vault;
  readonly log: Logger;
}): (request: WebhookRequest) => Promise<WebhookAnswer> {
  const { coordinator, vault, log } = parts;
  const options: WebhookOptions = {
    secret: async (project) => {
      const isKnown = await coordinator.read(({ state }) => state.projects.has(project));
      // Read of any project: a stranger cannot tell by the time which ones there are.
      const secret = await vault.read({ project, space: 'hook', name: 'in' });
      return isKnown ? secret : undefined;
    },
    report: (project, source, moves) => report(coordinator, { project, source, moves }),
    log,
  };
  return (request) => takeDelivery(options, request);
}

async function report(
  coordinator: Coordinator,
  what: {
    readonly project: ProjectId;
    readonly source: MoveSource;
    readonly moves: readonly ReportedMove[];
    readonly head?: string;
  },
): Promise<Taken> {
  const command = { kind: 'ReportMoves', ...what } as const;
  const bytes = Buffer.byteLength(JSON.stringify(command));
  if (bytes > maxCommandBytes) {
    const message = `its moves take ${bytes} bytes to record, at most ${maxCommandBytes} fit`;
    return { kind: 'too-large', message };
  }
  const answer = await coordinator.perform(command);
  switch (answer.kind) {
    case 'moved':
    case 'refused':
      return answer;
    case 'done':
      return { kind: 'moved', runs: [] };
    default:
      return { kind: 'refused', message: 'message' in answer ? answer.message : answer.kind };
  }
}
