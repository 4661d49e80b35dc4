/** The gRPC server: all services, health and reflection, one port. */
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import type { Service } from '../access/rights.js';
import type { CoordinatorConfig, HostPort } from '../config.js';
import type { Guarded } from './grpc-door.js';
import { grpcAccess } from './grpc-access.js';
import { grpcEnvironments } from './grpc-environments.js';
import { grpcFleet } from './grpc-fleet.js';
import { grpcGate } from './grpc-gate.js';
import { Links, grpcLink } from './grpc-link.js';
import { grpcProjects } from './grpc-projects.js';
import { grpcRuns } from './grpc-runs.js';
import type { Services } from './services.js';

export interface ApiServer {
  readonly address: HostPort;
  /** Ends links, waits for calls under way, at most `graceMs`, then closes what is left. */
  close(graceMs: number): Promise<void>;
}

export async function startApi(
  services: Services,
  config: Pick<CoordinatorConfig, 'grpcListen' | 'tls'>,
): Promise<ApiServer> {
  const contract = loadContract();
  const server = new Server({
    ...channelOptions,
    // Agents ping each 10 s on links that may be idle; the default forbids that.
    'grpc.http2.min_ping_interval_without_data_ms': 5_000,
  });
  const links = new Links();
  /** Takes only what went through the door. */
  const add = <S extends Service>(service: S, handlers: Guarded<S>): void => {
    const { service: definition }: { readonly service: ServiceDefinition } = contract[service];
    server.addService(definition, handlers);
  };
  add('Runs', grpcRuns(services));
  add('Projects', grpcProjects(services));
  add('Gate', grpcGate(services));
  add('Environments', grpcEnvironments(services));
  add('Access', grpcAccess(services));
  add('Fleet', grpcFleet(services));
  add('AgentLink', grpcLink(services, links));
  const health = new HealthImplementation({ '': 'SERVING' });
  health.addToServer(server);
  new ReflectionService(contract.packageDefinition).addToServer(server);

  const { host, port } = config.grpcListen;
  const credentials =
    config.tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { cert_chain: config.tls.certificate, private_key: config.tls.key },
        ]);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host.includes(':') ? `[${host}]` : host}:${port}`, credentials, (error, actual) => {
      if (error === null) resolve(actual);
      else reject(new Error(`cannot listen on ${host}:${port}: ${error.message}`, { cause: error }));
    });
  });
  return {
    address: { host, port: bound },
    close: async (graceMs) => {
      health.setStatus('', 'NOT_SERVING');
      links.endAll();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}
