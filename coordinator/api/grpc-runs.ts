/** The service `Runs`: messages in, use cases, messages out. What it means stands in `proto/gantry/v1/runs.proto`. */
import { randomBytes } from 'node:crypto';
import { bundleKey } from '../../shared/blob/layout.js';
import { normalizeRepositoryUrl, projectOf } from '../../shared/git/repository-url.js';
import {
  base32Of,
  parseCommitId,
  parseRunId,
  parseSha256,
  shortRunId,
  type RunId,
} from '../../shared/model/ids.js';
import { stageTitle } from '../../shared/model/pipeline.js';
import { isEnded, type StageView } from '../../shared/model/run.js';
import type { ArtifactView as ArtifactMessage } from '../../shared/wire/gen/gantry/v1/ArtifactView.js';
import type { RunSelector__Output } from '../../shared/wire/gen/gantry/v1/RunSelector.js';
import type { SubmitRequest__Output } from '../../shared/wire/gen/gantry/v1/SubmitRequest.js';
import { urlToWire } from '../../shared/wire/refs.js';
import { agentToWire, runSummaryToWire, runToWire } from '../../shared/wire/run-view.js';
import { watchEventToWire } from '../../shared/wire/watch.js';
import { WireError, parsed, required } from '../../shared/wire/wire-error.js';
import type { Reach } from '../access/reach.js';
import { issueToken } from '../access/tokens.js';
import type { AgentState } from '../scheduler/state.js';
import { agentView } from '../scheduler/views.js';
import { ApiError } from './api-error.js';
import { artifactViews, artifactsOf, pathBytes, shownPath, type FoundArtifact } from './artifacts.js';
import { diagnose } from './diagnose.js';
import { audited } from './audit.js';
import { demand, guard, type Guarded, type ProjectCall } from './grpc-door.js';
import { listRuns } from './list-runs.js';
import { readLogs } from './read-logs.js';
import { findRun, resolveRun, selectStages, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';
import { retryRun, submitRun, type SubmitOrder } from './submit.js';
import { watchRun } from './watch.js';
import { whyOf } from './why.js';

export function grpcRuns(services: Services): Guarded<'Runs'> {
  const { log } = services;
  type Selecting = RunSelector__Output | null | undefined;
  const resolve = (selector: Selecting, { reach }: ProjectCall): Promise<RunId> =>
    resolveRun(services, { run: selector?.run ?? '', projectName: selector?.projectName ?? '' }, reach);
  const find = async (selector: Selecting, call: ProjectCall): Promise<FoundRun> =>
    findRun(services, await resolve(selector, call));

  return guard(services, 'Runs', {
    PrepareSource: async (request, { signal }) => {
      const digest = parsed('digest', 'a SHA-256', parseSha256, request.digest);
      const bytes = request.bytes ?? 0;
      if (await services.bundles.has({ digest, bytes }, signal)) return { present: true };
      const url = await services.blobs.presignPut(bundleKey(digest), { expiresSeconds: 900, bytes });
      return { present: false, put: urlToWire({ method: 'PUT', url: url.reveal(), headers: {} }) };
    },
    Submit: async (request, { user, reach, signal }) => {
      const order = orderOf(request, user);
      // Before anything is read or fetched for it.
      demand(reach, projectOf(projectNameOf(order.source)));
      return await submitRun(services, order, signal).then(submittedToWire);
    },
    Show: async (request, call) => {
      const found = await find(request, call);
      // A run whose storage is away is still shown; its artifacts cannot be.
      const artifacts = await artifactsOf(services, found, { stage: '', name: '', presign: false }).catch(
        (error: unknown) => {
          log.warn({ err: error, run: found.view.run }, 'artifacts cannot be listed');
          return [];
        },
      );
      return runToWire({ ...found.view, artifacts: artifactViews(artifacts) });
    },
    List: async (request, { reach }) => {
      const query = {
        projectName: request.projectName ?? '',
        branch: request.branch ?? '',
        status: request.status ?? '',
        limit: request.limit ?? 0,
        cursor: request.cursor ?? '',
      };
      const page = await listRuns(services, query, reach);
      return { runs: page.runs.map(runSummaryToWire), cursor: page.cursor };
    },
    Watch: async function* (request, call) {
      const run = await resolve(request.run, call);
      for await (const watched of watchRun(services, run, request.afterSequence ?? 0, call.signal)) {
        yield watchEventToWire(watched);
      }
    },
    Logs: async function* (request, call) {
      const query = {
        run: await resolve(request.run, call),
        stage: request.stage ?? '',
        cell: request.cell ?? {},
        step: request.step ?? '',
        follow: request.follow ?? false,
        attempt: request.attempt ?? 0,
        tailBytes: request.tailBytes ?? 0,
      };
      for await (const piece of readLogs(services, query, call.signal)) {
        yield {
          ...piece,
          bytes: Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.byteLength),
          at: piece.at === 0 ? '' : new Date(piece.at).toISOString(),
          missing: piece.missing ?? '',
        };
      }
    },
    Why: async (request, call) => {
      const found = await find(request.run, call);
      return {
        run: found.view.run,
        status: found.view.status,
        stages: whyOf(services, found, request.stage ?? ''),
      };
    },
    Cancel: async (request, call) => {
      const found = await find(request.run, call);
      if (isEnded(found.view.status)) {
        throw new ApiError('refused', `run ${found.view.run} has ended already: ${found.view.status}`);
      }
      const stages =
        request.stage === undefined || request.stage === '' ? [undefined] : openStages(found, request.stage);
      for (const stage of stages) {
        const answer = await services.coordinator.perform({
          kind: 'Cancel',
          run: found.view.run,
          by: call.user.name,
          ...(stage === undefined ? {} : { stage: stage.number }),
        });
        if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
        if (answer.kind === 'not-found') throw new ApiError('not-found', answer.message);
      }
      const after = await findRun(services, found.view.run);
      return { run: after.view.run, status: after.view.status };
    },
    Retry: async (request, call) => {
      const run = parsed('new_run', 'a run id', parseRunId, request.newRun);
      const of = await resolve(request.run, call);
      const { withSecrets = false, force = '' } = request;
      const order = { of, run, by: call.user, withSecrets, force };
      return submittedToWire(await retryRun(services, order));
    },
    Artifacts: async (request, call) => {
      const found = await find(request.run, call);
      const artifacts = await artifactsOf(services, found, {
        stage: request.stage ?? '',
        name: request.name ?? '',
        presign: request.presign ?? false,
      });
      return { run: found.view.run, artifacts: artifacts.map(artifactMessage) };
    },
    ListAgents: async (_request, { reach }) => {
      const agents = await services.coordinator.read(({ state, presence, now }) =>
        [...state.agents.values()].map((agent) => ({
          ...agentView(state, presence, agent, now),
          running: runningTitles(agent, reach),
        })),
      );
      return { agents: agents.sort((a, b) => (a.name < b.name ? -1 : 1)).map(agentToWire) };
    },
    DrainAgent: async (request, { user }) => {
      const wanted = request.agent ?? '';
      const [agent, ...others] = await services.coordinator.read(({ state }) =>
        [...state.agents.values()].filter((one) => one.agent === wanted || one.name === wanted),
      );
      if (agent === undefined) {
        throw new ApiError('not-found', `there is no agent ${wanted}: see gantry agents ls`);
      }
      if (others.length > 0) {
        const ids = [agent, ...others].map((one) => one.agent).join(', ');
        throw new ApiError('invalid', `several agents are called ${wanted}: give the id of one of ${ids}`);
      }
      await services.coordinator.perform({
        kind: 'DrainAgent',
        agent: agent.agent,
        draining: request.undo !== true,
        by: user.name,
      });
      const view = await services.coordinator.read(({ state, presence, now }) => {
        const drained = state.agents.get(agent.agent);
        return drained === undefined ? undefined : agentView(state, presence, drained, now);
      });
      return view === undefined ? {} : { agent: agentToWire(view) };
    },
    CreateJoinToken: (request, { user }) => {
      const seconds =
        request.validSeconds === undefined || request.validSeconds === 0 ? 86_400 : request.validSeconds;
      const expires = Math.floor(Date.now() / 1000) + seconds;
      const expiresAt = new Date(expires * 1000).toISOString();
      const id = base32Of(randomBytes(10));
      const [labels, projects] = [request.labels ?? [], request.projects ?? []];
      const detail = `until ${expiresAt}; labels ${labels.join(' ') || 'any'}`.slice(0, 1_000);
      return audited(services, { by: user.name, action: 'agent.token', subject: id, detail }, () => {
        const join = { kind: 'join', id, by: user.name, labels, projects, expires } as const;
        const token = issueToken(services.tokenKey, join);
        return Promise.resolve({ token, coordinator: services.settings.advertise, expiresAt });
      });
    },
    Diagnose: async () => ({
      checks: [...(await diagnose(services))],
      version: services.settings.version,
    }),
  });
}

/** The project that a submitted source says it is of. Throws RepositoryUrlError. */
const projectNameOf = (source: SubmitOrder['source']): string =>
  source.kind === 'git' ? normalizeRepositoryUrl(source.url).name : source.projectName;

/** What an agent runs; of projects that the caller does not reach only that it is something. */
const runningTitles = ({ leases }: AgentState, reach: Reach): readonly string[] =>
  [...leases].map(({ stage }) =>
    reach.has(stage.run.facts.project)
      ? `${shortRunId(stage.run.run)} ${stageTitle(stage.outline)}`
      : 'a stage of another project',
  );

/** Of a matrix some may have ended; when all have, there is nothing to cancel. */
function openStages({ view }: FoundRun, what: string): readonly StageView[] {
  const chosen = selectStages(view, what);
  const open = chosen.filter((stage) => !isEnded(stage.status));
  if (open.length > 0) return open;
  const statuses = chosen.map((stage) => `${stage.title}: ${stage.status}`).join(', ');
  throw new ApiError('refused', `nothing to cancel in run ${view.run}: it has ended already (${statuses})`);
}

const submittedToWire = (submitted: {
  readonly run: RunId;
  readonly again: boolean;
  readonly warnings: readonly string[];
}): { run: string; again: boolean; warnings: string[] } => ({
  ...submitted,
  warnings: [...submitted.warnings],
});

function orderOf(request: SubmitRequest__Output, by: SubmitOrder['by']): SubmitOrder {
  return {
    run: parsed('run', 'a run id (16 characters a-z, 2-7)', parseRunId, request.run),
    source: sourceOf(request),
    env: request.env ?? {},
    inputs: request.inputs ?? {},
    stages: request.stages ?? [],
    by,
    ...(request.branch === undefined || request.branch === '' ? {} : { branch: request.branch }),
  };
}

function sourceOf(request: SubmitRequest__Output): SubmitOrder['source'] {
  if (request.source === 'git') {
    const git = required('git', request.git);
    return { kind: 'git', url: git.url ?? '', commitish: git.commit ?? '' };
  }
  if (request.source !== 'bundle') throw new WireError('source', 'bundle or git', request.source);
  const bundle = required('bundle', request.bundle);
  const commit = (field: string, text: string | undefined) =>
    parsed(field, 'a commit id', parseCommitId, text);
  return {
    kind: 'bundle',
    digest: parsed('bundle.digest', 'a SHA-256', parseSha256, bundle.digest),
    bytes: bundle.bytes ?? 0,
    commit: commit('bundle.commit', bundle.commit),
    shallow: (bundle.shallow ?? []).map((one) => commit('bundle.shallow', one)),
    projectName: bundle.projectName ?? '',
    title: bundle.title ?? '',
    pipelineText: request.pipelineText ?? '',
    pipelineFile: request.pipelineFile ?? '.gantry.yml',
    ...(bundle.author === undefined || bundle.author === '' ? {} : { author: bundle.author }),
    ...(bundle.baseCommit === undefined || bundle.baseCommit === ''
      ? {}
      : { baseCommit: commit('bundle.base_commit', bundle.baseCommit) }),
  };
}

function artifactMessage(found: FoundArtifact): ArtifactMessage {
  const { artifact } = found;
  return {
    stage: found.stage,
    stageNumber: found.stageNumber,
    name: artifact.name,
    form: artifact.form,
    object: { sha256: artifact.sha256, bytes: artifact.bytes },
    files: artifact.files.map((file) => ({
      path: shownPath(file),
      pathBytes: pathBytes(file),
      mode: file.mode,
      size: file.size,
      sha256: file.sha256,
      link: file.link ?? '',
      ...(file.where === undefined ? {} : file.where),
    })),
    ...(found.get === undefined
      ? {}
      : { get: urlToWire({ method: 'GET', url: found.get.reveal(), headers: {} }) }),
  };
}
