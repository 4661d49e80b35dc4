/** What the coordinator itself depends on, looked at now: for `gantry doctor`. */
import { BlobError } from '../../shared/blob/blob-error.js';
import { diagnoseFeedback } from '../feedback/diagnose-feedback.js';
import { diagnoseGates } from './diagnose-gates.js';
import type { Services } from './services.js';

export interface Diagnosis {
  readonly name: string;
  readonly level: 'ok' | 'warning' | 'error';
  readonly message: string;
  readonly remedy: string;
}

export async function diagnose(services: Services): Promise<readonly Diagnosis[]> {
  return [
    await storage(services),
    await agents(services),
    ...(await feedback(services)),
    ...(await diagnoseGates(services)),
    durability(),
  ];
}

async function storage({ blobs }: Services): Promise<Diagnosis> {
  try {
    await blobs.checkBucket();
    return { name: 'storage', level: 'ok', message: `${blobs.endpoint}, bucket ${blobs.bucket}`, remedy: '' };
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    return {
      name: 'storage',
      level: 'error',
      message: error.message,
      remedy: 'stages stay running until storage is back; check its address and keys',
    };
  }
}

async function agents({ coordinator }: Services): Promise<Diagnosis> {
  const { known, present } = await coordinator.read(({ state, presence }) => ({
    known: state.agents.size,
    present: [...presence.agents.values()].filter((agent) => agent.beat !== undefined).length,
  }));
  if (present > 0) {
    return { name: 'agents', level: 'ok', message: `${present} of ${known} send heartbeats`, remedy: '' };
  }
  return {
    name: 'agents',
    level: 'error',
    message: known === 0 ? 'no agent has joined' : `none of ${known} agents sends heartbeats`,
    remedy: 'gantry agents token prints the command that starts one',
  };
}

async function feedback({
  coordinator,
  feedback: { health, hasMail },
}: Services): Promise<readonly Diagnosis[]> {
  const projects = await coordinator.read(({ state }) => state.projects.size);
  return diagnoseFeedback({ health, hasMail, projects, now: Date.now() });
}

/** One server survives crashes of processes; only replicas or a syncing server survive a power failure. */
const durability = (): Diagnosis => ({
  name: 'durability',
  level: 'ok',
  message: 'accepted runs survive crashes of every process',
  remedy:
    'against power failure: NATS replicas on separate machines, or nats-server 2.10 or newer with sync_interval: always',
});
