/** The service `Fleet`: registration, NATS access, presigned URLs, secrets. */
import { parseAgentId, parseInstanceId, parseSha256, type AgentId } from '../../shared/model/ids.js';
import type { NatsAccess } from '../../shared/wire/gen/gantry/v1/NatsAccess.js';
import type { PresignRequest__Output } from '../../shared/wire/gen/gantry/v1/PresignRequest.js';
import type { RegisterRequest__Output } from '../../shared/wire/gen/gantry/v1/RegisterRequest.js';
import { attemptRefFromWire, tokenFromWire, urlToWire } from '../../shared/wire/refs.js';
import { WireError, parsed, required } from '../../shared/wire/wire-error.js';
import { sha256Hex } from '../access/keys.js';
import { AgentAccessRefused } from '../fleet/agent-access.js';
import { ApiError } from './api-error.js';
import type { AgentCaller, JoinCaller } from './auth.js';
import { guard, type Guarded } from './grpc-door.js';
import { finishUpload, presignFor, presignSeconds, type PresignWhat } from './presign.js';
import { secretsFor } from './secrets.js';
import type { Services } from './services.js';

/** Detected by the agent itself, so a join token need not list them. */
const detectedLabel = /^(?:(?:os|arch|executor)=|images$)/;
const labelPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}(=[A-Za-z0-9._/-]{0,128})?$/;

export const grpcFleet = (services: Services): Guarded<'Fleet'> =>
  guard(services, 'Fleet', {
    Register: async (request, { joiner }) => {
      const wanted = parsed('agent', 'an agent id', parseAgentId, request.agent);
      await register(services, wanted, request, joiner);
      return {
        nats: natsAccess(services, wanted, request.natsUser ?? ''),
        subjectPrefix: services.settings.prefix,
        heartbeatMs: services.settings.heartbeatMs,
        coordinator: services.settings.advertise,
      };
    },
    Renew: (request, { agent: caller }) => natsAccess(services, caller.agent, request.natsUser ?? ''),
    Presign: async (request, { agent: caller }) => {
      const presigned = await presignFor(services, {
        agent: caller.agent,
        ref: attemptRefFromWire(request.ref),
        token: tokenFromWire(request.token),
        what: presignWhat(request),
      });
      return {
        urls: presigned.urls.map((url) =>
          urlToWire({ method: presigned.method, url: url.reveal(), headers: {} }),
        ),
        uploadId: presigned.uploadId,
        validSeconds: presignSeconds,
      };
    },
    Secrets: async (request, { agent: caller, isPrivate }) => {
      const { values, checkout, registries, refused } = await secretsFor(services, {
        agent: caller.agent,
        ref: attemptRefFromWire(request.ref),
        token: tokenFromWire(request.token),
        isPrivate,
      });
      return {
        values: Object.fromEntries(values),
        refusedSecret: refused?.secret ?? '',
        refusedWhy: refused?.why ?? '',
        registries: registries.credentials.map((each) => ({ ...each })),
        registriesWithheld: registries.withheld ?? '',
        ...(checkout?.kind === 'https' ? { https: { user: checkout.user, token: checkout.token } } : {}),
        ...(checkout?.kind === 'ssh'
          ? { ssh: { privateKey: checkout.privateKey, knownHosts: checkout.knownHosts } }
          : {}),
      };
    },
    FinishUpload: async (request, { agent: caller }) => {
      await finishUpload(services, {
        agent: caller.agent,
        ref: attemptRefFromWire(request.ref),
        token: tokenFromWire(request.token),
        artifact: request.artifact ?? 0,
        uploadId: request.uploadId ?? '',
        etags: request.abort === true ? [] : (request.etags ?? []),
      });
      return {};
    },
  });

/** With a join token: new, or with other labels than before. With the agent's own key: as it was registered. */
async function register(
  services: Services,
  agent: AgentId,
  request: RegisterRequest__Output,
  caller: JoinCaller | AgentCaller,
): Promise<void> {
  const labels = [...new Set(request.labels ?? [])].sort();
  const bad = labels.find((label) => !labelPattern.test(label));
  if (bad !== undefined) {
    throw new ApiError(
      'invalid',
      `label ${JSON.stringify(bad)}: expected WORD or KEY=VALUE of letters, digits, . _ - /`,
    );
  }
  const slots = request.slots ?? 0;
  if (slots < 1 || slots > 1000) throw new WireError('slots', 'a number from 1 to 1000', slots);
  const keyHash = parseSha256(sha256Hex(request.agentKey ?? ''));
  if ((request.agentKey ?? '').length < 32 || keyHash === undefined) {
    throw new WireError('agent_key', 'at least 32 random characters', '(not shown)');
  }
  const before = await services.coordinator.read(({ state }) => {
    const known = state.agents.get(agent);
    return known === undefined ? undefined : { ...known };
  });
  let projects: readonly string[];
  let joinedBy: string;
  if (caller.kind === 'join') {
    const { token } = caller;
    const foreign = labels.find(
      (label) => token.labels.length > 0 && !detectedLabel.test(label) && !token.labels.includes(label),
    );
    if (foreign !== undefined) {
      throw new ApiError(
        'forbidden',
        `the join token does not allow the label ${foreign}; it allows ${token.labels.join(', ')}`,
      );
    }
    // Whoever has a join token may not take over an agent that exists under another key.
    if (before !== undefined && before.keyHash !== keyHash) {
      throw new ApiError(
        'forbidden',
        `agent ${agent} is registered with another key: two agents may not share an id (remove identity.json of the copy)`,
      );
    }
    projects = token.projects;
    joinedBy = `${token.id} by ${token.by}`;
  } else if (caller.agent === agent && before !== undefined) {
    const added = labels.find((label) => !detectedLabel.test(label) && !before.labels.includes(label));
    if (added !== undefined) {
      throw new ApiError(
        'forbidden',
        `the label ${added} is new: start the agent with a join token that allows it`,
      );
    }
    projects = before.projects;
    joinedBy = before.joinedBy;
  } else {
    throw new ApiError(
      'forbidden',
      'registration needs a join token (gantry agents token) or the agent’s own key',
    );
  }
  const answer = await services.coordinator.perform({
    kind: 'RegisterAgent',
    agent,
    name: request.name === undefined || request.name === '' ? agent : request.name.slice(0, 64),
    instance: parsed('instance', 'an instance id', parseInstanceId, request.instance),
    labels,
    slots,
    projects,
    trust: ['branch', 'submit', 'change', 'fork'],
    keyHash,
    version: (request.version ?? '').slice(0, 64),
    joinedBy,
  });
  if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
}

function natsAccess(services: Services, agent: AgentId, natsUser: string): NatsAccess {
  try {
    const grant = services.agentAccess.grant(agent, natsUser);
    const base: NatsAccess = {
      servers: [...grant.servers],
      ...(grant.ca === undefined ? {} : { ca: Buffer.from(grant.ca) }),
    };
    return grant.credentials.kind === 'jwt'
      ? { ...base, jwt: grant.credentials.jwt, expiresInMs: grant.credentials.expiresInMs }
      : { ...base, user: grant.credentials.user, password: grant.credentials.password };
  } catch (error) {
    if (error instanceof AgentAccessRefused) throw new ApiError('invalid', error.message, { cause: error });
    throw error;
  }
}

function presignWhat(request: PresignRequest__Output): PresignWhat {
  switch (request.object) {
    case 'source':
      return { kind: 'source' };
    case 'putLog':
      return { kind: 'put-log', step: request.putLog ?? 0 };
    case 'putLogIndex':
      return { kind: 'put-log-index', step: request.putLogIndex ?? 0 };
    case 'putManifest':
      return { kind: 'put-manifest' };
    case 'getManifest':
      return { kind: 'get-manifest', stage: request.getManifest ?? 0 };
    case 'getArtifact':
      return {
        kind: 'get-artifact',
        stage: request.getArtifact?.stage ?? 0,
        number: request.getArtifact?.number ?? 0,
      };
    case 'putArtifact': {
      const put = required('put_artifact', request.putArtifact);
      return {
        kind: 'put-artifact',
        number: put.number ?? 0,
        bytes: put.bytes ?? -1,
        firstPart: put.firstPart ?? 0,
        parts: put.parts ?? 0,
        uploadId: put.uploadId ?? '',
      };
    }
    default:
      throw new WireError('object', 'what to presign', request.object);
  }
}
