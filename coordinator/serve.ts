/**
 * The composition root: configuration → adapters → loop → API, released in reverse. Wires, and does nothing else.
 */
import { randomBytes } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import { readFile } from 'node:fs/promises';
import { forMany } from '../shared/async/for-many.js';
import { InTurn } from '../shared/async/in-turn.js';
import { Recent } from '../shared/async/recent.js';
import { S3BlobStore } from '../shared/blob/s3-blob-store.js';
import type { Logger } from '../shared/log.js';
import { afterReconnects, connectNats, type NatsAuth } from '../shared/nats/nats-connection.js';
import { natsNames } from '../shared/nats/names.js';
import { gantryVersion } from '../shared/version.js';
import { AuditLog } from './access/audit-log.js';
import { openKeys } from './access/keys.js';
import { natsDirectory } from './access/nats-directory.js';
import { isLeaseProof, leaseProof } from './access/tokens.js';
import { endedRuns } from './api/ended-runs.js';
import { startApi } from './api/grpc-server.js';
import { ProgressBoard } from './api/progress-board.js';
import type { Services } from './api/services.js';
import { openBucket } from './bucket.js';
import { ConfigError, type CoordinatorConfig, type HostPort } from './config.js';
import { Coordinator } from './coordinator.js';
import { deployingOf } from './deploying/assemble.js';
import { natsDispatcher } from './dispatch/nats-dispatcher.js';
import { Effects } from './effects.js';
import { feedbackOf } from './feedback/assemble.js';
import type { AgentAccess } from './fleet/agent-access.js';
import { jwtAgentAccess } from './fleet/jwt-agent-access.js';
import { loadNatsKeys } from './fleet/nats-credentials.js';
import { staticAgentAccess } from './fleet/static-agent-access.js';
import { History } from './history/history.js';
import { natsRunIndex } from './history/nats-run-index.js';
import { RunEvents } from './history/run-events.js';
import { openNatsJournal } from './journal/nats-journal.js';
import { natsPlanStore } from './journal/nats-plans.js';
import { ensureStreams, mayPurge } from './journal/nats-streams.js';
import { gateworkOf } from './landing/assemble.js';
import { natsLiveLog } from './logs/nats-live-log.js';
import { LogArchiver } from './logs/log-archiver.js';
import { LogKeeper } from './logs/log-keeper.js';
import { PlanCache, sweepPlans } from './plan-cache.js';
import { readPipelineAt } from './source/pipeline-at.js';
import { deploymentSecrets } from './secrets/scoped-secrets.js';
import { natsVault } from './secrets/nats-vault.js';
import { fetchCredential, pushCredential } from './secrets/fetch-credential.js';
import { gateHookEnvironment } from './secrets/gate-hook.js';
import { GateRepositories } from './source/gate-repositories.js';
import { ProjectRepositories } from './source/project-repositories.js';
import { pollerOf, triggersOf, webhookOf } from './triggers/assemble.js';
import { RecentPipelines } from './api/recent-pipelines.js';
import { startOwnRun } from './api/start-own-run.js';
import { startPush } from './api/start-push.js';
import { StoredBundles } from './api/stored-bundles.js';
import { startHttpServer } from './web/http-server.js';

export interface Serving {
  readonly grpc: HostPort;
  readonly http: HostPort;
  /** Settles when the coordinator has stopped: rejects when it lost the lead or broke. */
  readonly ended: Promise<void>;
}

const heartbeatMs = 2_000;
const cachedManifests = 16;
const shutdownGraceMs = 3_000;

/** Resolves when runs can be submitted. Aborting the signal ends everything in order; `ended` then resolves. */
export async function serve(config: CoordinatorConfig, log: Logger, signal: AbortSignal): Promise<Serving> {
  /** Released in reverse order, each once, whatever happened. */
  const releases: (() => Promise<void> | void)[] = [];
  const release = async (): Promise<void> => {
    for (const one of releases.splice(0).reverse()) {
      try {
        await one();
      } catch (error) {
        log.warn({ err: error }, 'a part could not be released');
      }
    }
  };
  try {
    return await assemble(config, log, signal, releases, release);
  } catch (error) {
    await release();
    throw error;
  }
}

async function assemble(
  config: CoordinatorConfig,
  log: Logger,
  signal: AbortSignal,
  releases: (() => Promise<void> | void)[],
  release: () => Promise<void>,
): Promise<Serving> {
  const keys = await openKeys(config.keysDirectory);
  const nats = await natsAccess(config);
  const link = await connectNats({
    servers: config.nats.servers,
    auth: nats.auth,
    name: 'gantry-coordinator',
    log,
    signal,
    ...(config.nats.ca === undefined ? {} : { ca: config.nats.ca.toString() }),
  });
  releases.push(() => link.close());
  const names = natsNames(config.prefix);
  const { replicas } = config.nats;
  await ensureStreams({ link, names, replicas, log });

  const blobs = new S3BlobStore({
    endpoint: config.s3.endpoint,
    publicEndpoint: config.s3.publicEndpoint,
    bucket: config.s3.bucket,
    region: config.s3.region,
    accessKey: config.s3.accessKey ?? keys.s3.accessKey,
    secretKey: config.s3.secretKey ?? keys.s3.secretKey,
    ...(config.s3.ca === undefined ? {} : { ca: config.s3.ca.toString() }),
  });
  releases.push(() => blobs.close());
  const background = new AbortController();
  forMany(background.signal);
  releases.push(() => background.abort());
  await openBucket({ blobs, log, signal: AbortSignal.any([signal, background.signal]) });

  const plans = new PlanCache(await natsPlanStore({ link, names, replicas }));
  const index = await natsRunIndex({ link, names, log });
  releases.push(() => index.close());
  const live = natsLiveLog({ link, names, mayPurge: mayPurge(link, replicas) });
  releases.push(() => live.close());
  const journal = openNatsJournal({ link, names });
  releases.push(() => journal.close());
  const dispatcher = natsDispatcher({ link, names, log });
  const directory = await natsDirectory({ link, names, replicas, now: Date.now, log });
  releases.push(() => directory.close());
  const audit = new AuditLog();
  const vault = await natsVault({ link, names, replicas, key: keys.secretsKey, now: Date.now });
  const repositories = new ProjectRepositories({
    roots: config.repoRoots,
    cacheDirectory: config.cacheDirectory,
    credential: (project) => fetchCredential(vault, project),
  });
  const history = new History({ blobs, index, plans });
  const events = new RunEvents();
  const progress = new ProgressBoard();
  const keeper = new LogKeeper({ live, log });
  releases.push(() => keeper.close());

  const effects = new Effects({
    coordinator: () => coordinator,
    dispatcher,
    plans,
    history,
    events,
    archiver: new LogArchiver({ live, blobs }),
    prove: (lease) => leaseProof(keys.tokenKey, lease),
    triggers: () => triggers,
    notifier: () => feedback.notifier,
    landing: () => gatework.landing,
    deploying: () => deploying,
    log,
    signal: background.signal,
  });
  const coordinator = new Coordinator({
    journal,
    clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() },
    seed: randomBytes(16).toString('hex'),
    perform: (effect) => effects.perform(effect),
    onEntry: ({ sequence, entry }) => {
      // Before `take`: a recorded run's events are forgotten by it.
      for (const event of entry.events) if (event.kind === 'RunRecorded') progress.forget(event.run);
      keeper.take(entry);
      audit.take(sequence, entry);
      events.take(sequence, entry);
      gatework.watch.take(entry);
    },
    isProven: (agent, { token, proof, ...ref }) => isLeaseProof(keys.tokenKey, { agent, ref, token }, proof),
    log,
  });
  const triggers = triggersOf({
    coordinator,
    repositories,
    start: (push) => startPush(services, push),
    log,
    signal: background.signal,
  });
  const poller = pollerOf({ coordinator, repositories, log });
  releases.push(() => poller.close());
  const feedback = feedbackOf({
    coordinator: () => coordinator,
    runs: endedRuns(() => services),
    directory,
    repositories,
    vault,
    ...(config.mail === undefined ? {} : { mail: config.mail }),
    ...(config.tls?.ca === undefined ? {} : { ca: config.tls.ca.toString() }),
    log,
  });
  const gates = new GateRepositories({
    roots: config.repoRoots,
    cacheDirectory: config.cacheDirectory,
    credential: (project, use) =>
      use === 'push' ? pushCredential(vault, project) : fetchCredential(vault, project),
    hookEnvironment: (project) => gateHookEnvironment(vault, project),
  });
  const runs = endedRuns(() => services);
  const gatework = gateworkOf({
    coordinator: () => coordinator,
    repositories: gates,
    blobs,
    submit: (plan, retryOf) => {
      const { project, target, commit } = plan.facts;
      return startOwnRun(services, plan, { gate: project, target, commit }, retryOf);
    },
    ended: async (run) => (await runs.find(run))?.view,
    tell: (news, stopped) => feedback.gate.tell(news, stopped),
    log,
    signal: background.signal,
  });
  const deploying = deployingOf({
    coordinator: () => coordinator,
    repositories,
    blobs,
    plans,
    history,
    events,
    secretsKey: keys.secretsKey,
    secrets: (project, environment, secrets) => deploymentSecrets(vault, project, environment, secrets),
    submit: (plan, content) => startOwnRun(services, plan, content),
    tell: (news, stopped) => feedback.delivery.tell(news, stopped),
    log,
    signal: background.signal,
  });
  const services: Services = {
    coordinator,
    events,
    history,
    plans,
    blobs,
    bundles: new StoredBundles(blobs),
    pipelines: new RecentPipelines(),
    liveLog: live,
    agentAccess: nats.agents,
    progress,
    submits: new InTurn(),
    manifests: new Recent(cachedManifests),
    tokenKey: keys.tokenKey,
    directory,
    audit,
    vault,
    repositories,
    poller,
    feedback,
    gates,
    deploying,
    settings: {
      version: gantryVersion(),
      advertise: config.advertise,
      publicUrl: config.publicUrl,
      prefix: config.prefix,
      heartbeatMs,
      repoRoots: config.repoRoots,
    },
    log,
    readPipeline: (request) =>
      readPipelineAt({ ...request, cacheDirectory: config.cacheDirectory, roots: config.repoRoots }),
  };
  await coordinator.start();
  keeper.begin();
  dispatcher.onHeartbeat((heartbeat) => {
    // Not leading any more: the next leader hears the next heartbeat.
    coordinator.perform({ kind: 'HeartbeatSeen', heartbeat }).catch(() => undefined);
  });
  void afterReconnects(link, background.signal, () => coordinator.missedMessages());
  const looping = coordinator.run();
  // `ended` tells of its failure; until somebody listens there, this keeps it from ending the process unreleased.
  looping.catch(() => undefined);
  releases.push(async () => {
    coordinator.stop();
    await looping.catch(() => undefined);
  });
  // Before the loop ends: what is delivered is put on record.
  releases.push(() => feedback.notifier.close());
  // Before the API: a plan is stored before its run is submitted.
  await sweepPlans(plans, coordinator, log);

  const api = await startApi(services, config);
  releases.push(() => api.close(shutdownGraceMs));
  const http = await startHttpServer({
    listen: config.httpListen,
    notReady: () => (link.disconnected.aborted ? 'NATS is away' : undefined),
    takeDelivery: webhookOf({ coordinator, vault, log }),
  });
  releases.push(() => http.close());
  await gatework.watch.begin();
  await poller.refresh();
  log.info({ grpc: api.address, http: http.address, advertise: config.advertise }, 'ready');

  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const ended = Promise.race([stopped, looping]).finally(release);
  return { grpc: api.address, http: http.address, ended };
}

/** Either the installation's own keys, or two static users of an existing server. */
async function natsAccess(
  config: CoordinatorConfig,
): Promise<{ readonly auth: NatsAuth; readonly agents: AgentAccess }> {
  const servers = config.nats.advertise;
  const ca = config.nats.ca === undefined ? {} : { ca: config.nats.ca.toString() };
  if (config.nats.users !== undefined) {
    const { coordinator, agents } = config.nats.users;
    return {
      auth: { kind: 'password', ...coordinator },
      agents: staticAgentAccess({ ...agents, servers, ...ca }),
    };
  }
  const keysDirectory = resolve(config.keysDirectory);
  if (basename(keysDirectory) !== 'keys') {
    throw new ConfigError([
      `--keys ${config.keysDirectory}: expected the directory \`keys\` that \`gantry nats init DIR\` makes in DIR`,
    ]);
  }
  const natsKeys = await loadNatsKeys(dirname(keysDirectory));
  const text =
    config.nats.credentials === undefined ? natsKeys.creds : await readFile(config.nats.credentials, 'utf8');
  return {
    auth: { kind: 'creds', text },
    agents: jwtAgentAccess({ signer: natsKeys.signer, servers, ...ca }),
  };
}
