/** What the end of a run means to people. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CommitId } from '../../../shared/model/ids.js';
import { A, B, C, D, ProjectCore, commit, hook, main, poll } from './project-core.js';
import { agentId, facts, outline, projectId, runId, sha } from './core.js';

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

  describe('of pushes that are read out of order', () => {
    const begin = (core: ProjectCore, n: number, at: CommitId): void => {
      core.submit(n, [outline(1)], { event: 'push', trust: 'branch', branch: 'main', commit: at });
    };
    const ready = (): ProjectCore => {
      const core = ProjectCore.atA();
      core.register(1, { slots: 10 });
      core.beat(agentId(1));
      return core;
    };

    it('go by the pushes: the older one that ends last mends nothing', () => {
      const core = ready();
      core.moved(hook(), [{ ref: main, old: A, new: B }]);
      core.moved(hook(), [{ ref: main, old: B, new: C }]);
      begin(core, 1, C);
      begin(core, 2, B);
      core.end(1, 'failed');
      core.end(2, 'succeeded');
      expect([1, 2].map((n) => core.news(n))).toEqual([
        { news: 'failed', failing: { since: { run: runId(1), commit: C } } },
        { news: undefined, failing: undefined },
      ]);
      expect(core.branch()).toMatchObject({ status: 'failing', run: runId(1) });
      core.restart();
    });

    it('go by the pushes: the older one that ends last breaks nothing', () => {
      const core = ready();
      core.moved(hook(), [{ ref: main, old: B, new: C }]);
      core.moved(hook(), [{ ref: main, old: A, new: B }]);
      begin(core, 1, C);
      begin(core, 2, B);
      core.end(1, 'succeeded');
      core.end(2, 'failed');
      expect(core.news(2)).toEqual({ news: undefined, failing: undefined });
      expect(core.branch()).toMatchObject({ status: 'green', run: runId(1) });
    });

    it('go by the pushes where a newer one was accepted first', () => {
      const core = ready();
      core.moved(hook(), [{ ref: main, old: A, new: B }]);
      core.moved(hook(), [{ ref: main, old: B, new: C }]);
      begin(core, 1, C);
      begin(core, 2, B);
      core.end(2, 'failed');
      core.end(1, 'succeeded');
      expect([2, 1].map((n) => core.news(n))).toMatchObject([{ news: 'failed' }, { news: 'fixed' }]);
    });

    it('and a branch that came back to a commit is judged by where it is', () => {
      const core = ready();
      core.moved(hook(), [{ ref: main, old: A, new: B }]);
      core.moved(hook(), [{ ref: main, old: B, new: A }]);
      begin(core, 1, A);
      begin(core, 2, B);
      core.end(1, 'succeeded');
      core.end(2, 'failed');
      expect(core.news(2)).toEqual({ news: undefined, failing: undefined });
    });

    it('whatever the order of telling, accepting and ending: the newest push says how the branch fares', () => {
      const chain = [A, B, C, D, commit(0xe), commit(0xf)];
      const pushes = chain.slice(1).map((now, i) => ({ ref: main, old: chain[i]!, new: now }));
      const all = { minLength: 5, maxLength: 5 };
      const order = fc.shuffledSubarray([1, 2, 3, 4, 5], all);
      fc.assert(
        fc.property(
          fc.shuffledSubarray(pushes, all),
          order,
          order,
          fc.array(fc.boolean(), all),
          (told, accepted, ended, green) => {
            const core = ready();
            for (const push of told) core.moved(hook(), [push]);
            for (const n of accepted) begin(core, n, chain[n]!);
            for (const n of ended) core.end(n, green[n - 1] === true ? 'succeeded' : 'failed');
            expect(core.branch()).toMatchObject({
              run: runId(5),
              status: green[4] === true ? 'green' : 'failing',
            });
          },
        ),
      );
    });
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
