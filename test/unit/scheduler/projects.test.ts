import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keptDeletedRefs, keptMoves } from '../../../coordinator/scheduler/project-state.js';
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

const commit = (n: number): CommitId => parseCommitId(n.toString(16).padStart(40, '0'))!;
const [A, B, C, D] = [commit(0xa), commit(0xb), commit(0xc), commit(0xd)];
const main = 'refs/heads/main';
const poll: MoveSource = { kind: 'poll' };
let deliveries = 0;
const hook = (): MoveSource => ({ kind: 'webhook', delivery: `delivery-${(deliveries += 1)}` });

class ProjectCore extends Core {
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

describe('The first poll', () => {
  it('records all tips and asks for a run of the default branch alone', () => {
    const core = new ProjectCore();
    const moves = [
      { ref: 'refs/heads/other', new: B },
      { ref: main, new: A },
      { ref: 'refs/tags/v1', new: A },
    ];
    expect(core.moved(poll, moves, 'main')).toEqual(['0->a']);
    expect(core.tip('refs/heads/other')).toBe(B);
    expect(core.moved(poll, [{ ref: 'refs/heads/other', old: B, new: C }], 'main')).toEqual(['b->c']);
  });

  it('of a large repository comes in parts, and is first until its last one', () => {
    const core = new ProjectCore({ defaultBranch: 'main' });
    expect(core.moved({ kind: 'poll', partial: true }, [{ ref: 'refs/heads/x', new: B }])).toEqual([]);
    expect(
      core.moved(poll, [
        { ref: main, new: A },
        { ref: 'refs/heads/y', new: B },
      ]),
    ).toEqual(['0->a']);
    expect(core.moved(poll, [{ ref: 'refs/heads/z', new: B }])).toEqual(['0->b']);
  });

  it('of an empty repository makes the first push a push', () => {
    const core = new ProjectCore();
    expect(core.moved(poll, [], 'main')).toEqual([]);
    expect(core.moved(poll, [{ ref: 'refs/heads/x', new: B }], 'main')).toEqual(['0->b']);
  });
});

describe('One push is one run', () => {
  it('whoever reports it first, poll or webhook', () => {
    for (const [first, second] of [
      [poll, hook()],
      [hook(), poll],
      [hook(), hook()],
    ] as const) {
      const core = ProjectCore.atA();
      expect(core.moved(first, [{ ref: main, old: A, new: B }])).toEqual(['a->b']);
      expect(core.moved(second, [{ ref: main, old: A, new: B }])).toEqual([]);
      expect(core.tip()).toBe(B);
    }
  });

  it('also after its run has ended and left the state', () => {
    const core = ProjectCore.atA();
    core.moved(hook(), [{ ref: main, old: A, new: B }]);
    const [run] = core.state.triggers.keys();
    core.turn({ kind: 'SettleTrigger', run: run!, reason: 'no pipeline' });
    expect(core.moved(hook(), [{ ref: main, old: A, new: B }])).toEqual([]);
  });

  it('also when polling saw several pushes as one', () => {
    const core = ProjectCore.atA();
    expect(core.moved(poll, [{ ref: main, old: A, new: C }])).toEqual(['a->c']);
    expect(core.moved(hook(), [{ ref: main, old: A, new: B }])).toEqual([]);
    expect(core.moved(hook(), [{ ref: main, old: B, new: C }])).toEqual([]);
    expect(core.tip()).toBe(C);
  });

  it('also when deliveries come in the wrong order: each gets its run, and the tip is that of the newest', () => {
    const core = ProjectCore.atA();
    expect(core.moved(hook(), [{ ref: main, old: B, new: C }])).toEqual(['b->c']);
    expect(core.moved(hook(), [{ ref: main, old: A, new: B }])).toEqual(['a->b']);
    expect(core.tip()).toBe(C);
  });

  it('and going back to an earlier commit is a push of its own', () => {
    const core = ProjectCore.atA();
    core.moved(hook(), [{ ref: main, old: A, new: B }]);
    expect(core.moved(hook(), [{ ref: main, old: B, new: A }])).toEqual(['b->a']);
    expect(core.tip()).toBe(A);
  });

  it('for chains of pushes delivered in any order, doubled, and polled in between', () => {
    const chain = [A, B, C, D, commit(0xe), commit(0xf)];
    const pushes = chain.slice(1).map((now, i) => ({ ref: main, old: chain[i]!, new: now }));
    fc.assert(
      fc.property(fc.shuffledSubarray([...pushes, ...pushes], { minLength: 10, maxLength: 10 }), (order) => {
        const core = ProjectCore.atA();
        const asked = order.flatMap((push) => core.moved(hook(), [push]));
        expect(asked.toSorted()).toEqual(pushes.map(({ old, new: now }) => `${old.at(-1)}->${now.at(-1)}`));
        // Whatever the order: the next poll says where the branch is.
        const tip = core.tip();
        if (tip !== chain.at(-1)) core.moved(poll, [{ ref: main, old: tip!, new: chain.at(-1)! }]);
        expect(core.tip()).toBe(chain.at(-1));
      }),
    );
  });
});

describe('Deliveries', () => {
  it('are refused when they come again under the same name', () => {
    const core = ProjectCore.atA();
    const source = hook();
    const moves = [reportedMove(projectId(1), { ref: main, old: A, new: B })];
    const command = { kind: 'ReportMoves', project: projectId(1), source, moves } as const;
    expect(core.turn(command).answers).toEqual([{ kind: 'moved', runs: [moves[0]!.run] }]);
    expect(core.turn(command).answers[0]).toMatchObject({ kind: 'refused' });
    core.restart();
    expect(core.turn(command).answers[0]).toMatchObject({ kind: 'refused' });
  });

  it('of a project that is not there are not taken', () => {
    const core = new Core();
    const { answers } = core.turn({ kind: 'ReportMoves', project: projectId(9), source: hook(), moves: [] });
    expect(answers[0]).toMatchObject({ kind: 'not-found' });
  });
});

describe('A push that asks for a run', () => {
  it('is pending until a run or a reason comes of it, over every restart', () => {
    const core = ProjectCore.atA();
    const { effects } = core.turn({
      kind: 'ReportMoves',
      project: projectId(1),
      source: poll,
      moves: [reportedMove(projectId(1), { ref: main, old: A, new: B })],
    });
    const [run] = core.state.triggers.keys();
    expect(effects).toEqual([{ kind: 'Trigger', run }]);
    expect(core.turn().effects).toEqual([]);
    core.restart();
    expect(core.turn().effects).toContainEqual({ kind: 'Trigger', run });
    core.turn({ kind: 'Submit', run: run!, digest: sha(1), facts: facts(), stages: [outline(1)] });
    expect(core.state.triggers.size).toBe(0);
    core.restart();
    expect(core.turn().effects).not.toContainEqual({ kind: 'Trigger', run });
  });

  it('is forgotten with its project', () => {
    const core = ProjectCore.atA();
    core.moved(poll, [{ ref: main, old: A, new: B }]);
    core.turn({ kind: 'RemoveProject', project: projectId(1), by: 'ada' });
    expect(core.state.triggers.size).toBe(0);
    core.restart();
  });
});

describe('A deleted branch', () => {
  it('cancels its runs of which nothing has begun, and no others', () => {
    const core = ProjectCore.atA();
    core.submit(1, [outline(1)], { event: 'push', branch: 'main' });
    core.submit(2, [outline(1)], { event: 'push', branch: 'other' });
    core.submit(3, [outline(1)], { event: 'submit', branch: 'main' });
    core.moved(poll, [{ ref: main, old: A }]);
    expect(core.state.runs.get(runId(1))?.canceledBy).toBe('the deletion of branch main');
    expect(core.state.runs.get(runId(2))?.canceledBy).toBeUndefined();
    expect(core.state.runs.get(runId(3))?.canceledBy).toBeUndefined();
  });

  it('settles its pushes that nobody has read yet', () => {
    const core = ProjectCore.atA();
    core.moved(poll, [{ ref: 'refs/heads/x', new: B }]);
    core.moved(poll, [{ ref: main, old: A, new: C }]);
    core.moved(poll, [{ ref: 'refs/heads/x', old: B }]);
    expect([...core.state.triggers.values()].map(({ move }) => move.ref)).toEqual([main]);
  });

  it('lets a run go on that has begun', () => {
    const core = ProjectCore.atA();
    core.register(1);
    core.beat(agentId(1));
    core.submit(1, [outline(1)], { event: 'push', branch: 'main' });
    core.moved(poll, [{ ref: main, old: A }]);
    expect(core.state.runs.get(runId(1))?.canceledBy).toBeUndefined();
  });

  it('is not brought back by a push that is told late', () => {
    const core = ProjectCore.atA();
    core.moved(hook(), [{ ref: main, old: A, new: B }]);
    core.moved(poll, [{ ref: main, old: B }]);
    expect(core.moved(hook(), [{ ref: main, old: A, new: B }])).toEqual([]);
    expect(core.tip()).toBeUndefined();
  });

  it('is made again by a push', () => {
    const core = ProjectCore.atA();
    core.moved(poll, [{ ref: main, old: A }]);
    expect(core.moved(poll, [{ ref: main, new: B }])).toEqual(['0->b']);
    expect(core.tip()).toBe(B);
  });

  it('does not stay in the state for ever', () => {
    const core = ProjectCore.atA();
    for (let n = 0; n < keptDeletedRefs + 50; n += 1) {
      core.moved(poll, [{ ref: `refs/heads/topic${n}`, new: B }]);
      core.moved(poll, [{ ref: `refs/heads/topic${n}`, old: B }]);
    }
    expect(core.state.projects.get(projectId(1))?.refs.size).toBe(keptDeletedRefs + 1);
  });

  it('and a branch that moves often keeps its last moves only', () => {
    const core = ProjectCore.atA();
    for (let n = 100; n < 100 + keptMoves + 20; n += 1)
      core.moved(poll, [{ ref: main, old: commit(n), new: commit(n + 1) }]);
    expect(core.state.projects.get(projectId(1))?.refs.get(main)?.moves).toHaveLength(keptMoves);
  });
});

describe('A newer push', () => {
  const runs = (settings: Partial<ProjectSettings>): readonly (string | undefined)[] => {
    const core = ProjectCore.atA(settings);
    core.submit(1, [outline(1)], { event: 'push', branch: 'main' });
    core.submit(2, [outline(1)], { event: 'push', branch: 'other' });
    core.submit(3, [outline(1)], { event: 'push', branch: 'main' });
    return [1, 2, 3].map((n) => core.state.runs.get(runId(n))?.canceledBy);
  };

  it('cancels older runs of its branch where the project asks for it', () => {
    expect(runs({ cancelSuperseded: true })).toEqual([`a newer push, run ${runId(3)}`, undefined, undefined]);
  });

  it('leaves them otherwise', () => {
    expect(runs({})).toEqual([undefined, undefined, undefined]);
  });

  it.each([
    ['an older push that was read late', undefined],
    ['a retry of an older run', runId(9)],
  ])('is not canceled by %s', (_what, retryOf) => {
    const core = ProjectCore.atA({ cancelSuperseded: true });
    core.submit(1, [outline(1)], { event: 'push', branch: 'main', commit: A });
    const older = { ...facts(), event: 'push', branch: 'main', commit: B } as const;
    core.turn({
      kind: 'Submit',
      run: runId(2),
      digest: sha(2),
      facts: older,
      stages: [outline(1)],
      ...(retryOf === undefined ? {} : { retryOf }),
    });
    expect([1, 2].map((n) => core.state.runs.get(runId(n))?.canceledBy)).toEqual([undefined, undefined]);
  });
});

describe('News', () => {
  it('are that a branch broke, is still broken, and is mended, with the commit since which it failed', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, A, 'succeeded');
    core.pushRun(2, B, 'failed');
    core.pushRun(3, C, 'failed');
    core.pushRun(4, D, 'succeeded');
    const failing = { since: { run: runId(2), commit: B }, lastGreen: { run: runId(1), commit: A } };
    expect([1, 2, 3, 4].map((n) => core.news(n))).toEqual([
      { news: undefined, failing: undefined },
      { news: 'failed', failing },
      { news: 'still-failing', failing },
      { news: 'fixed', failing: undefined },
    ]);
    core.restart();
  });

  it('are not what a retry of a commit comes to that the branch has left, whichever way it ends', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, B, 'failed');
    core.pushRun(2, A, 'succeeded');
    core.retried(3, B, 'failed');
    expect(core.news(3)).toEqual({ news: undefined, failing: undefined });
    expect(core.branch()).toMatchObject({ status: 'green', run: runId(2) });
    core.restart();
  });

  it('are what a retry of the newest commit comes to', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, A, 'failed');
    core.retried(2, A, 'succeeded');
    expect(core.news(2)).toEqual({ news: 'fixed', failing: undefined });
    expect(core.branch()).toMatchObject({ status: 'green', run: runId(2) });
  });

  it('of a run that ends when its branch is gone leave nothing of the branch in the state', () => {
    const core = ProjectCore.atA();
    core.register(1, { slots: 10 });
    core.beat(agentId(1));
    core.submit(1, [outline(1)], { event: 'push', trust: 'branch', branch: 'main', commit: A });
    core.moved(poll, [{ ref: main, old: A }]);
    core.end(1, 'failed');
    expect(core.news(1)).toMatchObject({ news: 'failed' });
    expect(core.branch()).toBeUndefined();
  });

  it('are not that a branch is mended when conditions left nothing to do', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, A, 'failed');
    const never = outline(1, { condition: { kind: 'never', text: 'branch == "x"' } });
    core.submit(2, [never], { event: 'push', trust: 'branch', branch: 'main', commit: B });
    expect(core.news(2)).toEqual({ news: undefined, failing: undefined });
    expect(core.branch()).toMatchObject({ status: 'failing', run: runId(1) });
  });

  it('of a branch that was never green name no last green run', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, A, 'failed');
    expect(core.news(1)).toEqual({ news: 'failed', failing: { since: { run: runId(1), commit: A } } });
  });

  it('are not what an older run comes to when a newer one has ended', () => {
    const core = ProjectCore.atA();
    core.register(1, { slots: 10 });
    core.beat(agentId(1));
    core.submit(1, [outline(1)], { event: 'push', branch: 'main', commit: A });
    core.submit(2, [outline(1)], { event: 'push', branch: 'main', commit: B });
    core.end(2, 'succeeded');
    core.end(1, 'failed');
    expect(core.news(1)).toEqual({ news: undefined, failing: undefined });
    core.pushRun(3, C, 'succeeded');
    expect(core.news(3)).toEqual({ news: undefined, failing: undefined });
  });

  it('of a run by hand are that it failed, and say nothing of the branch', () => {
    const core = ProjectCore.atA();
    core.register(1, { slots: 10 });
    core.beat(agentId(1));
    core.submit(1, [outline(1)], { event: 'submit', branch: 'main' });
    core.end(1, 'failed');
    expect(core.news(1)).toEqual({ news: 'failed', failing: undefined });
    core.pushRun(2, B, 'succeeded');
    expect(core.news(2)).toEqual({ news: undefined, failing: undefined });
  });

  it('are none for a run of no project', () => {
    const core = new ProjectCore();
    core.register(1, { slots: 10 });
    core.beat(agentId(1));
    core.submit(1, [outline(1)], { event: 'submit', project: projectId(7) });
    core.end(1, 'failed');
    expect(core.news(1)).toEqual({ news: undefined, failing: undefined });
  });

  it('stand in the outbox until all targets are settled, over every restart', () => {
    const core = ProjectCore.atA();
    core.pushRun(1, A, 'failed');
    expect(core.state.outbox.get(runId(1))).toMatchObject({ news: 'failed' });
    core.turn({
      kind: 'NotificationSent',
      run: runId(1),
      target: 'mail:a@b.org',
      outcome: 'delivered',
      message: '',
    });
    core.restart();
    expect(core.turn().effects).toContainEqual({ kind: 'Notify', run: runId(1) });
    expect([...core.state.outbox.get(runId(1))!.settled]).toEqual(['mail:a@b.org']);
    core.turn({ kind: 'NotificationsSettled', run: runId(1) });
    core.restart();
    expect(core.turn().effects).not.toContainEqual({ kind: 'Notify', run: runId(1) });
  });

  it('are told of a run whose pipeline is invalid: it ends at once, failed, without stages', () => {
    const core = ProjectCore.atA();
    core.turn({
      kind: 'Submit',
      run: runId(1),
      digest: sha(1),
      facts: facts({ event: 'push', branch: 'main', commit: A }),
      stages: [],
      failure: { kind: 'invalid-pipeline', message: 'line 1: nonsense' },
    });
    expect(core.state.runs.get(runId(1))?.ended?.status).toBe('failed');
    expect(core.news(1)).toMatchObject({ news: 'failed' });
    core.restart();
  });
});

describe('Settings', () => {
  it('are refused for a project that exists, unless they are the same', () => {
    const core = new ProjectCore();
    const again = (settings: Partial<ProjectSettings>, isNew: boolean): unknown =>
      core.turn({ kind: 'SetProject', project: core.project(settings), isNew, by: 'ada' }).answers[0];
    expect(again({}, true)).toEqual({ kind: 'done' });
    expect(again({ pollMs: 5_000 }, true)).toMatchObject({ kind: 'refused' });
    expect(again({ pollMs: 5_000 }, false)).toEqual({ kind: 'done' });
    expect(core.state.projects.get(projectId(1))?.project.settings.pollMs).toBe(5_000);
  });
});
