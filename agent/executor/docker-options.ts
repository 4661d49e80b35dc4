/** What Gantry's words are in Docker's: labels, and the options of boxes, services and networks. Pure. */
import type Docker from 'dockerode';
import {
  attemptKey,
  parseRunId,
  parseToken,
  type AgentId,
  type AttemptRef,
  type Token,
} from '../../shared/model/ids.js';
import type { PlannedService } from '../../shared/model/pipeline.js';
import type { FoundBox } from './executor.js';
import { supervisorScript } from './supervisor.js';

export interface BoxLimits {
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly pids: number;
}

export type Role = 'box' | 'service' | 'network' | 'shared-network' | 'probe';

export const labelNames = {
  agent: 'gantry.agent',
  role: 'gantry.role',
  attempt: 'gantry.attempt',
  token: 'gantry.token',
} as const;

/** Where things are inside a box. */
export const boxPaths = {
  in: '/gantry/in',
  out: '/gantry/out',
  home: '/gantry/home',
  workspace: '/workspace',
} as const;

export interface Owned {
  readonly agent: AgentId;
  readonly ref: AttemptRef;
  readonly token: Token;
}

export const labelsOf = (owned: Owned, role: Role): Record<string, string> => ({
  [labelNames.agent]: owned.agent,
  [labelNames.role]: role,
  [labelNames.attempt]: attemptKey(owned.ref),
  [labelNames.token]: String(owned.token),
});

/**
 * Of an image that was built. Other names than those of containers: whatever is started from the image, by anybody, has
 * its labels too, and an agent removes containers that have its own.
 */
export const imageLabels = (owned: Owned): Record<string, string> => ({
  'gantry.built.agent': owned.agent,
  'gantry.built.attempt': attemptKey(owned.ref),
});

/** Filters by labels as the list calls take them. */
export const labelFilter = (labels: Readonly<Record<string, string>>): { label: string[] } => ({
  label: Object.entries(labels).map(([name, value]) => `${name}=${value}`),
});

/** Whose a container or network is; undefined where the labels are not as we write them. */
export function foundBy(labels: Readonly<Record<string, string>>): FoundBox | undefined {
  const [run = '', stage = '', attempt = ''] = (labels[labelNames.attempt] ?? '').split('/');
  const runId = parseRunId(run);
  const token = parseToken(Number(labels[labelNames.token]));
  const numbers = [Number(stage), Number(attempt)];
  if (
    runId === undefined ||
    token === undefined ||
    !numbers.every((each) => Number.isSafeInteger(each) && each > 0)
  ) {
    return undefined;
  }
  return { ref: { run: runId, stage: Number(stage), attempt: Number(attempt) }, token };
}

function hostLimits(limits: BoxLimits): Docker.HostConfig {
  return {
    PidsLimit: limits.pids,
    // Equal to the memory: no swap beyond it, so that the limit is what it says.
    ...(limits.memoryBytes === undefined
      ? {}
      : { Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes }),
    ...(limits.cpus === undefined ? {} : { NanoCpus: Math.round(limits.cpus * 1e9) }),
    // Device nodes and forged packets have no place in a build; all else of Docker's default set stays.
    CapDrop: ['MKNOD', 'NET_RAW'],
  };
}

export interface BoxOptions {
  readonly owned: Owned;
  readonly image: string;
  readonly user?: string;
  readonly networkId: string;
  readonly limits: BoxLimits;
  /** On the host. */
  readonly directories: {
    readonly in: string;
    readonly out: string;
    readonly home: string;
    readonly workspace: string;
  };
}

export function boxContainer(options: BoxOptions): Docker.ContainerCreateOptions {
  const bind = (source: string, target: string, readOnly = false): Docker.MountSettings => ({
    Type: 'bind',
    Source: source,
    Target: target,
    ReadOnly: readOnly,
  });
  const { directories } = options;
  return {
    Image: options.image,
    Entrypoint: ['sh', '-c', supervisorScript(boxPaths)],
    Cmd: [],
    ...(options.user === undefined ? {} : { User: options.user }),
    WorkingDir: boxPaths.workspace,
    Labels: labelsOf(options.owned, 'box'),
    Healthcheck: { Test: ['NONE'] },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: false,
    Tty: false,
    HostConfig: {
      ...hostLimits(options.limits),
      // With docker-init as PID 1, `kill -9 -1` of a step would end the box.
      Init: false,
      LogConfig: { Type: 'none', Config: {} },
      NetworkMode: options.networkId,
      // Mounts, not Binds: a source that the daemon does not have is an error, not a new empty directory.
      Mounts: [
        bind(directories.in, boxPaths.in, true),
        bind(directories.out, boxPaths.out),
        bind(directories.home, boxPaths.home),
        bind(directories.workspace, boxPaths.workspace),
      ],
    },
  };
}

export function serviceContainer(options: {
  readonly owned: Owned;
  readonly service: PlannedService;
  readonly networkId: string;
  readonly limits: BoxLimits;
}): Docker.ContainerCreateOptions {
  const { service, networkId } = options;
  return {
    Image: service.image,
    ...(service.command === undefined ? {} : { Cmd: [...service.command] }),
    Env: Object.entries(service.env).map(([name, value]) => `${name}=${value}`),
    Labels: labelsOf(options.owned, 'service'),
    HostConfig: {
      ...hostLimits(options.limits),
      // Small: read only to say why a service failed.
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
      NetworkMode: networkId,
    },
    NetworkingConfig: { EndpointsConfig: { [networkId]: { Aliases: [service.name] } } },
  };
}
