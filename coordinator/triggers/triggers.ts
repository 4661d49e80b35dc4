/**
 * From a push to its run. A push that asks for a run stands in the state until this says what became of it: a run with
 * the push's own id, or a reason why there is none. Whatever this process does, the next one goes on from there.
 *
 *   commit ► message says `[skip ci]` ─┐
 *          ► no pipeline file ─────────┤
 *          ► `on` does not want it ────┴► no run, with the reason
 *          ► pipeline invalid ──────────► a run that has failed, so that its author is told
 *          ► else ──────────────────────► a run
 *
 * A repository that cannot be read now is asked again, with a growing pause, for a day.
 */
import { backoffMs } from '../../shared/async/backoff.js';
import { Limit } from '../../shared/async/limit.js';
import { sleep } from '../../shared/async/sleep.js';
import { CheckoutError, isNotOnRemote } from '../../shared/git/checkout-failure.js';
import { GitError } from '../../shared/git/git-program.js';
import type { Logger } from '../../shared/log.js';
import type { Failure } from '../../shared/model/failure.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { NotifyRules, PlannedStage, RunFacts, Source } from '../../shared/model/pipeline.js';
import type { Project } from '../../shared/model/project.js';
import { NotLeading } from '../coordinator.js';
import { compilePipeline, type Compilation } from '../pipeline/compile.js';
import { planRun } from '../pipeline/plan-run.js';
import { renderDiagnostics } from '../pipeline/render.js';
import { conditionsOf } from '../pipeline/run-conditions.js';
import { whyNoRun } from '../pipeline/trigger-rules.js';
import type { TriggerState } from '../scheduler/project-state.js';
import type { ReadCommit } from '../source/project-repository.js';

/** A push whose run may begin. */
export interface PushRun {
  readonly run: RunId;
  readonly facts: RunFacts;
  readonly source: Source;
  readonly stages: readonly PlannedStage[];
  readonly pipelineText: string;
  readonly notify?: NotifyRules;
  /** It could not begin, and why. */
  readonly failure?: Failure;
}

/** What of a repository is asked: see `source/project-repository.ts`. */
export interface PushedCommits {
  read(commit: CommitId, signal: AbortSignal): Promise<ReadCommit>;
  changed(from: CommitId, to: CommitId, signal: AbortSignal): Promise<readonly string[] | undefined>;
}

export interface Pending {
  readonly trigger: TriggerState;
  readonly project: Project;
}

export interface TriggersOptions {
  /** Undefined: it is settled, or its project is gone. */
  readonly pending: (run: RunId) => Promise<Pending | undefined>;
  readonly commits: (project: Project) => PushedCommits;
  /** Durable when it resolves. Asking twice is harmless. */
  readonly start: (push: PushRun) => Promise<void>;
  readonly settle: (run: RunId, reason: string) => Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Reading is waiting for git more than it is work. Of one project half, so that a flood of pushes holds up no other. */
const atOnce = 4;
const atOnceOfProject = 2;
const pause = { firstMs: 1_000, maxMs: 5 * 60_000 };
const giveUpMs = 24 * 60 * 60_000;

export class Triggers {
  readonly #options: TriggersOptions;
  readonly #limit = new Limit(atOnce);
  readonly #projects = new Map<ProjectId, { readonly limit: Limit; users: number }>();
  readonly #working = new Set<RunId>();

  constructor(options: TriggersOptions) {
    this.#options = options;
  }

  /** Works until the push is settled; of one that is worked on already nothing more is done. */
  perform(run: RunId): void {
    if (this.#working.has(run)) return;
    this.#working.add(run);
    void this.#settle(run).finally(() => this.#working.delete(run));
  }

  async #settle(run: RunId): Promise<void> {
    const { pending, settle, log, signal } = this.#options;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const found = await pending(run);
        if (found === undefined) return;
        await this.#inTurn(found.project.id, async () => {
          // Others may have come first for long: the project may be gone.
          const wanted = await pending(run);
          if (wanted !== undefined) await this.#decide(wanted);
        });
        return;
      } catch (error) {
        // Whoever leads next is told of it again.
        if (error instanceof NotLeading || isOver(signal)) return;
        const last = await this.#lastWord(run, error);
        if (last !== undefined) return settle(run, last).catch(() => undefined); // not leading any more
        log.warn({ run, err: error }, 'a push could not be read: trying again');
        await sleep(backoffMs(pause, failures, Math.random()), signal).catch(() => undefined);
      }
    }
  }

  async #inTurn(project: ProjectId, work: () => Promise<void>): Promise<void> {
    const own = this.#projects.get(project) ?? { limit: new Limit(atOnceOfProject), users: 0 };
    this.#projects.set(project, own);
    own.users += 1;
    try {
      await own.limit.run(() => this.#limit.run(work));
    } finally {
      own.users -= 1;
      if (own.users === 0) this.#projects.delete(project);
    }
  }

  /** Why trying again is no use; undefined: it may be. */
  async #lastWord(run: RunId, error: unknown): Promise<string | undefined> {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof CheckoutError && isAboutCommit(error)) return message;
    const found = await this.#options.pending(run).catch(() => undefined);
    return found !== undefined && Date.now() - found.trigger.at > giveUpMs ? message : undefined;
  }

  async #decide({ trigger, project }: Pending): Promise<void> {
    const { commits, settle, signal } = this.#options;
    const { run, move } = trigger;
    if (move.new === undefined) return settle(run, 'the ref was deleted');
    const repository = commits(project);
    const commit = await repository.read(move.new, signal);
    if (skips(commit.message)) return settle(run, 'the commit’s message says [skip ci]');
    if (commit.text === undefined || commit.text.trim() === '') {
      return settle(
        run,
        `commit ${move.new.slice(0, 12)} has no .gantry.yml: write one with \`gantry init\``,
      );
    }
    const file = '.gantry.yml';
    const compiled = compilePipeline(commit.text, { file });
    const push = { run, pipelineText: commit.text, ...pushOf(project, trigger, commit) };
    if (!compiled.ok) {
      const message = renderDiagnostics(compiled.diagnostics, { file, color: false });
      return this.#options.start({ ...push, stages: [], failure: { kind: 'invalid-pipeline', message } });
    }
    const changed = await this.#changed(repository, trigger, compiled);
    const ofPush = { ...conditionsOf(push.facts), ...(changed === undefined ? {} : { changed }) };
    const reason = whyNoRun(compiled.on, ofPush);
    if (reason !== undefined) return settle(run, reason);
    return this.#options.start({
      ...push,
      stages: planRun(compiled, ofPush),
      ...(compiled.notify === undefined ? {} : { notify: compiled.notify }),
    });
  }

  /** Only where the pipeline asks for it: it may take a fetch of its own. */
  async #changed(
    repository: PushedCommits,
    { move }: TriggerState,
    compiled: Extract<Compilation, { ok: true }>,
  ): Promise<readonly string[] | undefined> {
    if (!compiled.asksForChanges || move.old === undefined || move.new === undefined) return undefined;
    return repository.changed(move.old, move.new, this.#options.signal);
  }
}

/**
 * The commit is not there any more, or what it holds cannot be read. A repository that is away or a token that has ended is
 * mended by somebody, and then the push is to get its run.
 */
function isAboutCommit({ failure, cause }: CheckoutError): boolean {
  if (failure.kind !== 'checkout-failed' || failure.transient) return false;
  return cause === undefined || (cause instanceof GitError && isNotOnRemote(cause));
}

/** Asked anew after an await; a plain test is taken by the compiler for what it was before. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;

const skips = (message: string): boolean => /\[(?:skip ci|ci skip)\]/i.test(message);

function pushOf(
  project: Project,
  { move, source }: TriggerState,
  commit: ReadCommit,
): { readonly facts: RunFacts; readonly source: Source } {
  const branch = /^refs\/heads\/(.+)$/s.exec(move.ref)?.[1];
  const tag = /^refs\/tags\/(.+)$/s.exec(move.ref)?.[1];
  const pusher = source.kind === 'poll' ? undefined : source.pusher;
  return {
    facts: {
      event: tag === undefined ? 'push' : 'tag',
      trust: 'branch',
      project: project.id,
      projectName: project.name,
      commit: commit.commit,
      title: commit.title,
      message: commit.message,
      author: `${commit.authorName} <${commit.authorMail}>`,
      ...(pusher === undefined ? { by: commit.authorName, byAuthor: true } : { by: pusher }),
      inputs: {},
      maySeeSecrets: true,
      ...(branch === undefined ? {} : { branch }),
      ...(tag === undefined ? {} : { tag }),
      ...(move.old === undefined ? {} : { before: move.old }),
    },
    source: { kind: 'git', url: project.url, commit: commit.commit, ref: move.ref },
  };
}
