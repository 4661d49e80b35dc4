/** What people do with gates: queueing changes, looking, ejecting, pausing. */
import { isBranchName, isRefName } from '../../shared/git/refs.js';
import { normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import { credentialFromText } from '../../shared/git/credential-text.js';
import type { GateEntryId, GateSource, MergeMethod } from '../../shared/model/gate.js';
import { sourceName } from '../../shared/model/gate.js';
import type { GateView } from '../../shared/model/gate-view.js';
import type { CommitId, ProjectId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { GateAnswer, GateCommand } from '../gate/command.js';
import { describeEnd } from '../gate/handle-entry.js';
import { findGate } from '../gate/state.js';
import { gateView } from '../gate/views.js';
import { gateContext, gateSettingsOf } from '../scheduler/gates.js';
import { defaultBranchOf } from '../scheduler/project-state.js';
import { gateTokenDigest } from '../secrets/gate-hook.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface Landed {
  readonly entry: GateEntryId;
  readonly commit: CommitId;
  /** 0: the same request was made before, and its entry has ended. */
  readonly place: number;
  readonly again: boolean;
  readonly paused: string;
}

export async function land(
  services: Services,
  order: {
    readonly project: Project;
    readonly target: string;
    readonly entry: GateEntryId;
    readonly branch: string;
    readonly method: MergeMethod | undefined;
    readonly by: string;
    readonly signal: AbortSignal;
  },
): Promise<Landed> {
  const { project, target, entry, method, by, signal } = order;
  const ref = refOf(order.branch);
  const repository = services.gates.of(project);
  const found = await repository.refs([ref, `refs/heads/${target}`], signal);
  if (found.kind !== 'refs') throw new ApiError('refused', found.message);
  const commit = found.refs.get(ref);
  if (commit === undefined) {
    throw new ApiError(
      'not-found',
      `${project.url} has no ${shortOf(ref)}: push it first, or say \`gantry land --push\``,
    );
  }
  if (!found.refs.has(`refs/heads/${target}`)) {
    throw new ApiError('not-found', `${project.url} has no branch ${target} to land on`);
  }
  const described = await repository.describe(commit, signal);
  if (described.kind !== 'commit') throw new ApiError('refused', described.message);
  const source: GateSource = { kind: ref.startsWith('refs/for/') ? 'proposal' : 'branch', ref };
  const answer = await ask(services, {
    kind: 'Land',
    project: project.id,
    target,
    entry,
    commit,
    source,
    ...(method === undefined ? {} : { method }),
    title: described.title,
    author: described.author,
    by,
  });
  switch (answer.kind) {
    case 'queued':
      return {
        entry: answer.entry,
        commit,
        place: answer.place,
        again: answer.again,
        paused: answer.paused ?? '',
      };
    case 'ended':
      return { entry: answer.entry, commit, place: 0, again: true, paused: '' };
    default:
      throw new Error(`a land was answered ${answer.kind}`);
  }
}

/** The target that is meant when none is named. */
export async function targetOf(services: Services, project: Project, named: string): Promise<string> {
  const target = named.replace(/^refs\/heads\//, '');
  if (target !== '') {
    if (!isBranchName(target)) throw new ApiError('invalid', `${JSON.stringify(named)} is no branch’s name`);
    return target;
  }
  const { settings, usual } = await services.coordinator.read(({ state }) => {
    const known = state.projects.get(project.id);
    return {
      settings: gateSettingsOf(state, project.id),
      usual: known === undefined ? undefined : defaultBranchOf(known),
    };
  });
  const [only, ...others] = settings?.targets ?? [];
  const found = only !== undefined && others.length === 0 ? only : usual;
  if (found === undefined)
    throw new ApiError('invalid', 'which target is meant? Name it with --target BRANCH');
  return found;
}

/** Undefined: there is none yet; nothing was ever queued there. */
export function viewOf(
  services: Services,
  at: { project: ProjectId; target: string },
): Promise<GateView | undefined> {
  return services.coordinator.read(({ state, presence, now }) => {
    const gate = findGate(state.gates, at);
    return gate === undefined
      ? undefined
      : gateView(gate, { presence: presence.gates, context: gateContext(state, now) });
  });
}

export function viewsOf(
  services: Services,
  isWanted: (project: ProjectId) => boolean,
): Promise<readonly GateView[]> {
  return services.coordinator.read(({ state, presence, now }) =>
    [...state.gates.all.values()]
      .filter(({ project }) => isWanted(project))
      .map((gate) => gateView(gate, { presence: presence.gates, context: gateContext(state, now) })),
  );
}

/** Of the queue: by id, its first characters, or the branch it came from. Throws not-found or invalid. */
export async function findEntry(
  services: Services,
  at: { readonly project: ProjectId; readonly target: string },
  text: string,
): Promise<GateEntryId> {
  const { entries, ended } = await services.coordinator.read(({ state }) => {
    const gate = findGate(state.gates, at);
    return { entries: [...(gate?.entries ?? [])], ended: [...(gate?.ended ?? [])] };
  });
  const named = entries.filter(({ source }) => sourceName(source) === text || source.ref === text);
  const found =
    named.length > 0 ? named : entries.filter(({ entry }) => text !== '' && entry.startsWith(text));
  const [only, ...others] = found;
  if (only === undefined) {
    const left = ended.findLast(({ entry, source }) => sourceName(source) === text || entry === text);
    throw new ApiError(
      'not-found',
      left === undefined
        ? `the queue of ${at.target} has no entry ${JSON.stringify(text)}: see \`gantry gate show\``
        : `${text} has left the queue of ${at.target}: ${describeEnd(left.end)}`,
    );
  }
  if (others.length > 0)
    throw new ApiError('invalid', `several entries begin with ${text}: write more of it`);
  return only.entry;
}

/** Throws what the answer says is wrong. */
export async function ask(services: Services, command: GateCommand): Promise<GateAnswer> {
  const answered = await services.coordinator.perform({ kind: 'Gate', command });
  if (answered.kind === 'refused') throw new ApiError('refused', answered.message);
  if (answered.kind !== 'gate') throw new Error(`the gate was answered ${answered.kind}`);
  const { answer } = answered;
  if (answer.kind === 'refused' || answer.kind === 'not-found')
    throw new ApiError(answer.kind, answer.message);
  return answer;
}

export interface Protection {
  readonly refs: readonly string[];
  readonly tokenDigest: string;
  readonly user: string;
  readonly directory: string;
}

/** What the hook is made of that keeps everybody but the gate from pushing to its targets. */
export async function protectionOf(services: Services, project: Project, by: string): Promise<Protection> {
  const repository = normalizeRepositoryUrl(project.url);
  const stored = await services.vault.read({ project: project.id, space: 'credential', name: 'push' });
  const credential = stored === undefined ? undefined : credentialFromText(stored);
  return {
    refs: await protectedRefs(services, project),
    tokenDigest: await gateTokenDigest(services.vault, project.id, by),
    user: credential?.kind === 'https' ? credential.user : '',
    directory: repository.transport === 'file' ? repository.url : '',
  };
}

/** The targets that the settings name, or the default branch; and those that have a gate already. */
export async function protectedRefs(services: Services, project: Project): Promise<readonly string[]> {
  const { named, gates } = await services.coordinator.read(({ state }) => ({
    named: gateSettingsOf(state, project.id)?.targets ?? [],
    gates: [...state.gates.all.values()]
      .filter((gate) => gate.project === project.id)
      .map(({ target }) => target),
  }));
  const targets = named.length > 0 ? named : [await targetOf(services, project, '')];
  return [...new Set([...targets, ...gates])].map((target) => `refs/heads/${target}`);
}

const shortOf = (ref: string): string => ref.replace(/^refs\/heads\//, 'branch ');

function refOf(text: string): string {
  const ref = text.startsWith('refs/') ? text : `refs/heads/${text}`;
  if (!/^refs\/(?:heads|for)\//.test(ref) || !isRefName(ref)) {
    throw new ApiError('invalid', `${JSON.stringify(text)}: expected a branch, or refs/for/<target>/<name>`);
  }
  return ref;
}
