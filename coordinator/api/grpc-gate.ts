/** The service `Gate`: messages in, use cases, messages out. What it means stands in `gate.proto`. */
import { parseGateEntryId, type MergeMethod } from '../../shared/model/gate.js';
import type { EndedEntryView, GateEntryView, GateView } from '../../shared/model/gate-view.js';
import type { Project } from '../../shared/model/project.js';
import type { GateEntry as EntryMessage } from '../../shared/wire/gen/gantry/v1/GateEntry.js';
import type { GateSelector__Output } from '../../shared/wire/gen/gantry/v1/GateSelector.js';
import type { GateView as GateMessage } from '../../shared/wire/gen/gantry/v1/GateView.js';
import { parsed } from '../../shared/wire/wire-error.js';
import type { Reach } from '../access/reach.js';
import { ApiError } from './api-error.js';
import { ask, findEntry, land, protectionOf, targetOf, viewOf, viewsOf } from './gate.js';
import { guard, type Guarded } from './grpc-door.js';
import { resolveProject } from './projects.js';
import type { Services } from './services.js';

export function grpcGate(services: Services): Guarded<'Gate'> {
  const projectOf = (text: string | undefined, reach: Reach): Promise<Project> =>
    resolveProject(services, text ?? '', (project) => reach.has(project));
  const resolve = async (selector: GateSelector__Output | null | undefined, reach: Reach) => {
    const project = await projectOf(selector?.project?.project, reach);
    return { project, target: await targetOf(services, project, selector?.target ?? '') };
  };

  return guard(services, 'Gate', {
    Land: async (request, { user, reach, signal }) => {
      const { project, target } = await resolve(request.gate, reach);
      const { entry, commit, place, again, paused } = await land(services, {
        project,
        target,
        entry: parsed('entry', 'an entry id (16 characters a-z, 2-7)', parseGateEntryId, request.entry),
        branch: request.branch ?? '',
        method: methodFrom(request.method),
        by: user.name,
        signal,
      });
      return { project: project.id, target, entry, commit, place, again, paused };
    },
    List: async (request, { reach }) => {
      const only = request.all === true ? undefined : await projectOf(request.project?.project, reach);
      const views = await viewsOf(services, (id) => reach.has(id) && (only === undefined || only.id === id));
      return { gates: await Promise.all(views.map((view) => messageOf(services, view))) };
    },
    Show: async (request, { reach }) => {
      const { project, target } = await resolve(request, reach);
      const view = await viewOf(services, { project: project.id, target });
      return view === undefined
        ? { project: project.id, projectName: project.name, target, status: 'idle' }
        : messageOf(services, view);
    },
    Eject: async (request, { user, reach }) => {
      const { project, target } = await resolve(request.gate, reach);
      const at = { project: project.id, target };
      const entry = await findEntry(services, at, request.entry ?? '');
      const reason = request.reason ?? '';
      const command = {
        kind: 'Eject',
        ...at,
        entry,
        by: user.name,
        ...(reason === '' ? {} : { reason }),
      } as const;
      const answer = await ask(services, command);
      return { message: answer.kind === 'leaving' ? answer.message : '' };
    },
    Pause: async (request, { user, reach }) => {
      const { project, target } = await resolve(request.gate, reach);
      const reason = request.reason ?? '';
      const of = { project: project.id, target, by: user.name };
      await ask(services, { kind: 'Pause', ...of, ...(reason === '' ? {} : { reason }) });
      return { message: '' };
    },
    Resume: async (request, { user, reach }) => {
      const { project, target } = await resolve(request, reach);
      await ask(services, { kind: 'Resume', project: project.id, target, by: user.name });
      return { message: '' };
    },
    Protect: async (request, { user, reach }) => {
      const project = await projectOf(request.project, reach);
      const { refs, ...rest } = await protectionOf(services, project, user.name);
      return { project: project.id, refs: [...refs], ...rest };
    },
  });
}

function methodFrom(text: string | undefined): MergeMethod | undefined {
  switch (text) {
    case undefined:
    case '':
      return undefined;
    case 'merge':
    case 'squash':
      return text;
    default:
      throw new ApiError('invalid', `method ${JSON.stringify(text)}: expected merge or squash`);
  }
}

async function messageOf({ coordinator }: Services, view: GateView): Promise<GateMessage> {
  const { project, target, status, tip, paused, notes, entries, ended } = view;
  const name = await coordinator.read(({ state }) => state.projects.get(project)?.project.name);
  return {
    project,
    projectName: name ?? '',
    target,
    status,
    tip: tip ?? '',
    pausedReason: paused?.reason ?? '',
    pausedSince: paused?.since ?? '',
    notes: [...notes],
    entries: entries.map(queuedMessage),
    ended: ended.map(endedMessage),
  };
}

const queuedMessage = ({
  author,
  candidate,
  base,
  run,
  waitingFor,
  ...rest
}: GateEntryView): EntryMessage => ({
  ...rest,
  author: author ?? '',
  candidate: candidate ?? '',
  base: base ?? '',
  run: run ?? '',
  waitingFor: [...waitingFor],
});

const endedMessage = ({ author, landedAs, run, ...rest }: EndedEntryView): EntryMessage => ({
  ...rest,
  author: author ?? '',
  landedAs: landedAs ?? '',
  run: run ?? '',
});
