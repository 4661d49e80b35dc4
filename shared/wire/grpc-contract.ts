/**
 * The contract of `proto/gantry/v1`, loaded: service definitions for servers, client constructors for callers, and
 * the package definition for reflection. The flags here and those of `generate.mjs` must agree.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtoGrpcType as LinkType } from './gen/agent_link.js';
import type { ProtoGrpcType as AccessType } from './gen/access.js';
import type { ProtoGrpcType as EnvironmentsType } from './gen/environments.js';
import type { ProtoGrpcType as FleetType } from './gen/fleet.js';
import type { ProtoGrpcType as GateType } from './gen/gate.js';
import type { ProtoGrpcType as ProjectsType } from './gen/projects.js';
import type { ProtoGrpcType as RunsType } from './gen/runs.js';

type V1<T extends { gantry: { v1: unknown } }> = T['gantry']['v1'];
export interface Contract {
  readonly Runs: V1<RunsType>['Runs'];
  readonly Projects: V1<ProjectsType>['Projects'];
  readonly Gate: V1<GateType>['Gate'];
  readonly Environments: V1<EnvironmentsType>['Environments'];
  readonly Access: V1<AccessType>['Access'];
  readonly Fleet: V1<FleetType>['Fleet'];
  readonly AgentLink: V1<LinkType>['AgentLink'];
  readonly packageDefinition: PackageDefinition;
}

/** `proto/` of the installed package: beside this file's sources, or one level above `dist/`. */
function protoDirectory(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, 'proto');
    if (existsSync(join(candidate, 'gantry', 'v1', 'runs.proto'))) return candidate;
  }
  throw new Error('proto/gantry/v1 is missing from the installation: install or build Gantry again');
}

let loaded: Contract | undefined;

/** Loads the contract once (about 40 ms). */
export function loadContract(): Contract {
  if (loaded !== undefined) return loaded;
  const packageDefinition = loadSync(
    ['runs', 'projects', 'gate', 'environments', 'access', 'fleet', 'agent_link'].map(
      (name) => `gantry/v1/${name}.proto`,
    ),
    { includeDirs: [protoDirectory()], longs: Number, enums: String, bytes: Buffer, oneofs: true },
  );
  // The generated types describe parts of one package; the loader itself knows no types.
  const { v1 } = (
    loadPackageDefinition(packageDefinition) as unknown as RunsType &
      ProjectsType &
      GateType &
      EnvironmentsType &
      AccessType &
      FleetType &
      LinkType
  ).gantry;
  const { Runs, Projects, Gate, Environments, Access, Fleet, AgentLink } = v1;
  loaded = { Runs, Projects, Gate, Environments, Access, Fleet, AgentLink, packageDefinition };
  return loaded;
}

/** Channel options of both sides: a dead peer is noticed within 15 s, a new server within a second. */
export const channelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 20 << 20,
  'grpc.max_send_message_length': 20 << 20,
};
