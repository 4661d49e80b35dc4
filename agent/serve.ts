/**
 * The composition root: configuration → adapters → loop → wait for a signal → release in reverse. Wires, and does nothing
 * else.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HttpTransfer } from '../shared/blob/http-transfer.js';
import { createLog, type Logger } from '../shared/log.js';
import { Agent } from './agent.js';
import type { AgentConfig } from './config.js';
import { exitCodes, type ExitCode } from './exit-codes.js';
import { ExecutorError, type Executor } from './executor/executor.js';
import { createHostExecutor } from './executor/host-executor.js';
import { Disk } from './host/disk.js';
import { DirectoryInUse, lockDirectory } from './host/instance-lock.js';
import { allLabels } from './host/labels.js';
import { createSession } from './session/create-session.js';
import { loadIdentity, type Identity } from './session/identity.js';
import { SessionRefused } from './session/session.js';
import { createArtifactMover } from './stage/artifact-mover.js';
import { createWorkspaces } from './stage/workspaces.js';
import { stopSignals, type StopSignals } from './stop-signals.js';
import { KeptTrees } from './workspace/kept-trees.js';
import { GitMirror } from './workspace/git-mirror.js';
import { Slots } from './workspace/slots.js';

/** From TERM to KILL of a step that is canceled or out of time. */
const graceMs = 10_000;
/** `gantry down` sends its second SIGTERM a moment after the first; a handover may wait so long. */
const secondSignalMs = 1_000;
/** How often an executor that failed is asked whether it works again. */
const probeMs = 5_000;

export async function run(config: AgentConfig, version: string): Promise<ExitCode> {
  const pretty = process.stderr.isTTY && !config.jsonLogs;
  const log = createLog({ name: 'agent', level: config.logLevel, pretty });
  const signals = stopSignals();
  try {
    await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 });
    const lock = await lockDirectory(config.dataDirectory);
    try {
      return await serve(config, version, log, signals);
    } finally {
      await lock.release();
    }
  } catch (error) {
    if (signals.first.aborted) return exitCodes.ended;
    const code = exitCodeOf(error);
    const message = error instanceof Error ? error.message : String(error);
    // What is told in words needs no stack.
    if (code !== exitCodes.ours || error instanceof ExecutorError) log.fatal(message);
    else log.fatal({ err: error }, message);
    return code;
  }
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof DirectoryInUse) return exitCodes.wrongUsage;
  return error instanceof SessionRefused ? exitCodes.refused : exitCodes.ours;
}

async function serve(
  config: AgentConfig,
  version: string,
  log: Logger,
  signals: StopSignals,
): Promise<ExitCode> {
  const { dataDirectory } = config;
  const identity = await loadIdentity(dataDirectory);
  const executor = await createExecutor(config, identity, log);
  const labels = allLabels(config.labels, executor.labels);
  const transfer = new HttpTransfer(config.trust.kind === 'ca' ? { ca: config.trust.pem } : {});
  const slots = await Slots.open(dataDirectory);
  const place = `agent ${config.name}`;
  const mirror = await GitMirror.open({
    directory: join(dataDirectory, 'mirrors'),
    roots: config.repositoryRoots,
    place,
    discard: (directory) => slots.discard(directory),
  });
  const kept = await KeptTrees.open({
    directory: join(dataDirectory, 'trees'),
    discard: (directory) => slots.discard(directory),
  });
  const session = createSession({
    coordinator: {
      address: config.coordinator,
      insecure: config.trust.kind === 'plain',
      ...(config.trust.kind === 'ca' ? { ca: Buffer.from(config.trust.pem) } : {}),
    },
    ...(config.token === undefined ? {} : { joinToken: config.token }),
    identity,
    name: config.name,
    labels,
    slots: config.slots,
    version,
    log,
  });
  const refused = new AbortController();
  const agent = new Agent({
    tools: {
      executor,
      session,
      workspaces: createWorkspaces({ slots, mirror, kept, transfer, place }),
      artifacts: createArtifactMover(transfer),
      transfer,
      settings: {
        agentName: config.name,
        attemptsDirectory: join(dataDirectory, 'attempts'),
        ignoreImage: config.ignoreImage,
        logLimitBytes: config.logLimitBytes,
        graceMs,
      },
      log,
      now: Date.now,
    },
    slots: config.slots,
    version,
    secondSignalMs,
    probeMs,
    disk: new Disk({
      directory: dataDirectory,
      minFreeBytes: config.minFreeBytes,
      ensureFree: (bytes) =>
        slots.ensureFree(bytes, async () => (await kept.evictOldest()) || mirror.evictOldest()),
      freeBytes: () => slots.freeBytes(),
    }),
    mirrors: () => mirror.projects(),
    sweepSlots: (keep) => slots.discardAllBut(keep),
    onRefused: (reason) => refused.abort(new SessionRefused(reason)),
  });
  try {
    try {
      await agent.start(AbortSignal.any([signals.first, refused.signal]));
      log.info({ agent: identity.agent, name: config.name, labels, slots: config.slots }, 'agent ready');
      await signals.firstOr(refused.signal);
    } finally {
      await agent.stop(signals.second);
    }
    if (!refused.signal.aborted) return exitCodes.ended;
    throw refused.signal.reason as Error; // Aborted above, with an error.
  } finally {
    await session.close();
    await executor.close();
    transfer.close();
  }
}

async function createExecutor(config: AgentConfig, identity: Identity, log: Logger): Promise<Executor> {
  const common = { agentId: identity.agent, dataDirectory: config.dataDirectory, log };
  if (config.executor === 'host') return createHostExecutor({ ...common, ignoreImage: config.ignoreImage });
  // Docker's client takes 25 MB and 0.3 s, and whoever forks pays for his size: an agent that runs no containers goes without.
  const { createDockerExecutor } = await import('./executor/docker-executor.js');
  return createDockerExecutor({
    ...common,
    localImages: config.localImages,
    limits: {
      pids: config.pids,
      ...(config.memoryBytes === undefined ? {} : { memoryBytes: config.memoryBytes }),
      ...(config.cpus === undefined ? {} : { cpus: config.cpus }),
    },
  });
}
