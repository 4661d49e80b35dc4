/** The core with one project, told of pushes and runs. */
import { reportedMove } from '../../../coordinator/triggers/push-identity.js';
import { parseCommitId, type CommitId } from '../../../shared/model/ids.js';
import {
  defaultProjectSettings,
  type MoveSource,
  type Project,
  type ProjectSettings,
  type RefMove,
} from '../../../shared/model/project.js';
import { Core, agentId, facts, outline, projectId, runId, sha } from './core.js';

export const commit = (n: number): CommitId => parseCommitId(n.toString(16).padStart(40, '0'))!;
export const [A, B, C, D] = [commit(0xa), commit(0xb), commit(0xc), commit(0xd)];
export const main = 'refs/heads/main';
export const poll: MoveSource = { kind: 'poll' };
let deliveries = 0;
export const hook = (): MoveSource => ({ kind: 'webhook', delivery: `delivery-${(deliveries += 1)}` });

export class ProjectCore extends Core {
  constructor(settings: Partial<ProjectSettings> = {}) {
    super();
    this.turn({ kind: 'SetProject', project: this.project(settings), isNew: true, by: 'ada' });
  }

  project(settings: Partial<ProjectSettings> = {}): Project {
    return {
      id: projectId(1),
      name: 'example.org/app',
      url: 'https://example.org/app',
      settings: { ...defaultProjectSettings, ...settings },
    };
  }

  /** Ids of the runs asked for, as `old->new`. */
  moved(source: MoveSource, moves: readonly RefMove[], head?: string): readonly string[] {
    const reported = moves.map((move) => reportedMove(projectId(1), move));
    const { answers } = this.turn({
      kind: 'ReportMoves',
      project: projectId(1),
      source,
      moves: reported,
      ...(head === undefined ? {} : { head }),
    });
    const [answer] = answers;
    if (answer?.kind !== 'moved') return [];
    return answer.runs.map((run) => {
      const move = reported.find((one) => one.run === run);
      return `${move?.old?.at(-1) ?? '0'}->${move?.new?.at(-1) ?? '0'}`;
    });
  }

  tip(ref = main): CommitId | undefined {
    return this.state.projects.get(projectId(1))?.refs.get(ref)?.tip;
  }

  /** With main at A, and nothing else known. */
  static atA(settings: Partial<ProjectSettings> = {}): ProjectCore {
    const core = new ProjectCore(settings);
    core.moved(poll, [{ ref: main, new: A }], 'main');
    for (const run of core.state.triggers.keys()) core.turn({ kind: 'SettleTrigger', run, reason: 'read' });
    return core;
  }

  /** A run of a push, submitted as a trigger does and ended as said. */
  pushRun(n: number, at: CommitId, status: 'succeeded' | 'failed', branch = 'main'): void {
    this.submit(n, [outline(1)], { event: 'push', trust: 'branch', branch, commit: at });
    this.end(n, status);
  }

  retried(n: number, at: CommitId, status: 'succeeded' | 'failed'): void {
    this.turn({
      kind: 'Submit',
      run: runId(n),
      digest: sha(n),
      facts: { ...facts(), event: 'push', trust: 'branch', branch: 'main', commit: at },
      stages: [outline(1)],
      retryOf: runId(1),
    });
    this.end(n, status);
  }

  branch(name = 'main') {
    return this.state.projects.get(projectId(1))?.branches.get(name);
  }

  end(n: number, status: 'succeeded' | 'failed'): void {
    if (!this.state.agents.has(agentId(1))) this.register(1, { slots: 10 });
    this.beat(agentId(1));
    const attempt = this.state.runs.get(runId(n))?.stages[0]?.attempts[0];
    if (attempt === undefined) throw new Error(`run ${n} was not leased`);
    const ref = { run: runId(n), stage: 1, attempt: 1 };
    const common = { kind: 'Report', agent: agentId(1), ref, token: attempt.token, at: 1 } as const;
    this.turn(
      { ...common, n: 1, report: { kind: 'AttemptStarted', executor: 'docker' } },
      {
        ...common,
        n: 2,
        report: {
          kind: 'AttemptFinished',
          status,
          logs: [],
          ...(status === 'failed' ? { failure: { kind: 'exit-code', step: 1, exitCode: 1 } as const } : {}),
        },
      },
    );
  }

  news(n: number): unknown {
    const ended = this.events.findLast((event) => event.kind === 'RunEnded' && event.run === runId(n));
    return ended?.kind === 'RunEnded' ? { news: ended.news, failing: ended.failing } : undefined;
  }
}
