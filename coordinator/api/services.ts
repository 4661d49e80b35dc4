/** What the API is built on: everything is constructed in `serve.ts` and given to the calls as one object. */
import type { InTurn } from '../../shared/async/in-turn.js';
import type { Recent } from '../../shared/async/recent.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { RunId } from '../../shared/model/ids.js';
import type { Logger } from '../../shared/log.js';
import type { Coordinator } from '../coordinator.js';
import type { AuditLog } from '../access/audit-log.js';
import type { Directory } from '../access/directory.js';
import type { Deploying } from '../deploying/deploying.js';
import type { Feedback } from '../feedback/assemble.js';
import type { AgentAccess } from '../fleet/agent-access.js';
import type { History } from '../history/history.js';
import type { RunEvents } from '../history/run-events.js';
import type { PlanStore } from '../journal/plans.js';
import type { RecentPipelines } from './recent-pipelines.js';
import type { Vault } from '../secrets/vault.js';
import type { GateRepositories } from '../source/gate-repositories.js';
import type { ProjectRepositories } from '../source/project-repositories.js';
import type { Poller } from '../triggers/poller.js';
import type { LiveLog } from '../logs/live-log.js';
import type { PipelineAt, PipelineRequest } from '../source/pipeline-at.js';
import type { ProgressBoard } from './progress-board.js';
import type { StoredBundles } from './stored-bundles.js';

export interface Services {
  readonly coordinator: Coordinator;
  readonly events: RunEvents;
  readonly history: History;
  readonly plans: PlanStore;
  readonly blobs: BlobStore;
  readonly bundles: StoredBundles;
  readonly pipelines: RecentPipelines;
  readonly liveLog: LiveLog;
  readonly agentAccess: AgentAccess;
  readonly progress: ProgressBoard;
  /** Requests that make a run, by its id. */
  readonly submits: InTurn<RunId>;
  /** Manifests by SHA-256. */
  readonly manifests: Recent<string, Manifest>;
  readonly tokenKey: Buffer;
  /** Users and their tokens. */
  readonly directory: Directory;
  readonly audit: AuditLog;
  readonly vault: Vault;
  readonly repositories: ProjectRepositories;
  readonly poller: Poller;
  readonly feedback: Pick<Feedback, 'health' | 'hasMail'>;
  readonly gates: GateRepositories;
  readonly deploying: Pick<Deploying, 'amend'>;
  readonly settings: Settings;
  readonly log: Logger;
  /** Reads the pipeline file of a remote commit. */
  readonly readPipeline: (
    request: Pick<PipelineRequest, 'url' | 'commitish' | 'signal' | 'credential'>,
  ) => Promise<PipelineAt>;
}

export interface Settings {
  readonly version: string;
  readonly advertise: string;
  /** Where webhooks are sent: scheme, host and port. */
  readonly publicUrl: string;
  readonly prefix: string;
  readonly heartbeatMs: number;
  readonly repoRoots: readonly string[];
}
