import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  keptDeletedRefs,
  keptDeliveries,
  keptDeliveryIds,
  keptMoves,
} from '../../../coordinator/scheduler/project-state.js';
import { reportedMove } from '../../../coordinator/triggers/push-identity.js';
import type { MoveSource, ProjectSettings } from '../../../shared/model/project.js';
import { A, B, C, D, ProjectCore, commit, hook, main, poll } from './project-core.js';
import { Core, agentId, facts, outline, projectId, runId, sha } from './core.js';

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

  it('are kept with their moves while they are new, and by their ids for long', () => {
    const core = ProjectCore.atA();
    const told = Array.from({ length: keptDeliveries + 10 }, (_, n) => ({
      source: hook(),
      moves: [{ ref: `refs/heads/x${n}`, new: B }],
    }));
    for (const { source, moves } of told) core.moved(source, moves);
    const { deliveries: whole, deliveryIds } = core.state.projects.get(projectId(1))!;
    expect([...whole.values()].map(({ moves }) => moves[0]?.ref)).toEqual(
      told.slice(10).map(({ moves }) => moves[0]?.ref),
    );
    expect(deliveryIds.size).toBe(told.length);
    const [first] = told;
    const command = { kind: 'ReportMoves', project: projectId(1), source: first!.source, moves: [] } as const;
    expect(core.turn(command).answers[0]).toMatchObject({ kind: 'refused' });
    core.restart();
    expect(core.turn(command).answers[0]).toMatchObject({ kind: 'refused' });
  });

  it('do not stay in the state for ever', () => {
    const core = ProjectCore.atA();
    for (let n = 0; n < keptDeliveryIds + 10; n += 1) core.moved(hook(), []);
    expect(core.state.projects.get(projectId(1))?.deliveryIds.size).toBe(keptDeliveryIds);
  });

  it('say who pushed what a branch is at, until it moves on', () => {
    const core = ProjectCore.atA();
    const pusher = () => core.state.projects.get(projectId(1))?.refs.get(main)?.pusher;
    const by = (name: string): MoveSource => ({ ...hook(), pusher: name }) as MoveSource;
    core.moved(by('ada'), [{ ref: main, old: A, new: C }]);
    // Told late: it is not what the branch is at.
    core.moved(by('eve'), [{ ref: main, old: A, new: B }]);
    expect(pusher()).toBe('ada');
    core.moved(poll, [{ ref: main, old: C, new: D }]);
    expect(pusher()).toBeUndefined();
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
