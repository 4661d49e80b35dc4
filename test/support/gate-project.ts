/** A project with a gate, as its developers have it: a bare repository, a clone, `gantry land`. */
import { resolveConnection } from '../../coordinator/cli/connection.js';
import { gateFromWire } from '../../coordinator/cli/gate/gate-from-wire.js';
import { connect, type RunsApi } from '../../coordinator/cli/grpc-client.js';
import type { EndedEntryView, GateEntryView, GateView } from '../../shared/model/gate-view.js';
import type { RunSummary } from '../../shared/model/run.js';
import { runSummaryFromWire } from '../../shared/wire/run-view.js';
import { eventually } from './eventually.js';
import type { Finished, Up } from './installation.js';
import { Remote } from './remote.js';

export interface GateProjectOptions {
  readonly up: Up;
  /** Below which the repository is made. */
  readonly root: string;
  readonly name: string;
  /** Of `projects add`, beside those that every one has. */
  readonly flags?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

/** On a host agent without an image: what is tested is what lands, not how steps run. `check.sh` says what is green. */
export const gatePipeline =
  'stages:\n  test:\n    agents: [executor=host]\n    image: null\n    steps: [{ name: check, run: "sh check.sh" }]\n';

export class GateProject {
  readonly #api: RunsApi;

  private constructor(
    readonly up: Up,
    readonly remote: Remote,
    /** The commit that `main` began at. */
    readonly first: string,
    /** Whose token lands. */
    readonly env: Readonly<Record<string, string>>,
  ) {
    this.#api = connect(resolveConnection({}, up.env));
  }

  close(): void {
    this.#api.close();
  }

  static async make({
    up,
    root,
    name,
    flags = [],
    files = {},
    env = {},
  }: GateProjectOptions): Promise<GateProject> {
    const remote = await Remote.make(root, name);
    const first = await remote.commit({ '.gantry.yml': gatePipeline, 'check.sh': 'true\n', ...files });
    await remote.push();
    await up.json(['projects', 'add', remote.directory, '--poll', '1s', '--gate-require', 'test', ...flags]);
    return new GateProject(up, remote, first, env);
  }

  get name(): string {
    return this.remote.directory.replace(/\.git$/, '');
  }

  /** A branch off `main` as it is on the remote, with one commit, pushed. Says the commit. */
  async branch(
    name: string,
    files: Readonly<Record<string, string>>,
    options: { readonly message?: string; readonly from?: string; readonly to?: string } = {},
  ): Promise<string> {
    const { clone } = this.remote;
    await this.remote.git(clone, 'fetch', '--quiet', 'origin');
    await this.remote.git(clone, 'checkout', '--quiet', '-B', name, options.from ?? 'origin/main');
    const commit = await this.remote.commit(files, {
      ...(options.message === undefined ? {} : { message: options.message }),
    });
    await this.remote.push(`+HEAD:${options.to ?? `refs/heads/${name}`}`);
    return commit;
  }

  /** Onto `main`, past the gate. */
  async pushPast(files: Readonly<Record<string, string>>): Promise<string> {
    return this.branch('past', files, { to: 'refs/heads/main' });
  }

  gantry(args: readonly string[]): Promise<Finished> {
    return this.up.gantry(args, { cwd: this.remote.clone, env: this.env });
  }

  /** Queues a branch; `code`: how `gantry land` ends. */
  async queue(
    branch: string,
    ...flags: readonly string[]
  ): Promise<{ readonly entry: string; readonly place: number }> {
    const answer = await this.up.json(['land', branch, ...flags], { cwd: this.remote.clone, env: this.env });
    return answer as { readonly entry: string; readonly place: number };
  }

  /** Queues a branch and waits for what becomes of it. */
  async land(branch: string, ...flags: readonly string[]): Promise<EndedEntryView> {
    const watched = await this.gantry(['land', branch, '--watch', '--json', ...flags]);
    const last = watched.stdout.trim().split('\n').at(-1) ?? '';
    if (!last.includes('"endedAt"')) {
      throw new Error(
        `gantry land ${branch} ended with ${watched.code}:\n${watched.stdout}\n${watched.stderr}`,
      );
    }
    const ended = JSON.parse(last) as EndedEntryView;
    if ((watched.code === 0) !== (ended.status !== 'ejected')) {
      throw new Error(`gantry land ${branch} ended with ${watched.code} for ${ended.status}`);
    }
    return ended;
  }

  /** By gRPC: a test asks often, and a process for each question is what a busy machine has no time for. */
  async gate(): Promise<GateView> {
    return gateFromWire(await this.#api.gate.show({ project: { project: this.name }, target: '' }));
  }

  async setSecret(name: string, value: string): Promise<void> {
    await this.#api.projects.setSecret({ project: { project: this.name }, name, value });
  }

  /** The end of an entry. */
  left(entry: string, withinMs = 60_000): Promise<EndedEntryView> {
    return eventually(
      `the end of entry ${entry}`,
      async () => (await this.gate()).ended.find((ended) => ended.entry === entry),
      withinMs,
    );
  }

  /** The end of what came from a ref or a branch. */
  leftOf(source: string, withinMs = 60_000): Promise<EndedEntryView> {
    return eventually(
      `the end of ${source}`,
      async () => (await this.gate()).ended.find((ended) => ended.source === source),
      withinMs,
    );
  }

  async entry(source: string): Promise<GateEntryView | undefined> {
    return (await this.gate()).entries.find((entry) => entry.source === source);
  }

  async runs(): Promise<readonly RunSummary[]> {
    return ((await this.#api.list({ projectName: this.name })).runs ?? []).map(runSummaryFromWire);
  }

  /** The run of a commit, once it has ended. */
  ended(commit: string, event: string): Promise<RunSummary> {
    return eventually(
      `the end of the ${event} run of ${commit.slice(0, 8)}`,
      async () =>
        (await this.runs()).find(
          (run) =>
            run.commit === commit &&
            run.event === event &&
            /^(?:succeeded|failed|canceled)$/.test(run.status),
        ),
      60_000,
    );
  }

  /** Where a branch, or a full ref, is on the remote; empty: nowhere. */
  async tip(ref: string): Promise<string> {
    const full = ref.startsWith('refs/') ? ref : `refs/heads/${ref}`;
    return this.remote.git(this.remote.directory, 'for-each-ref', '--format=%(objectname)', full);
  }

  show(commit: string, format: string): Promise<string> {
    return this.remote.git(this.remote.directory, 'log', '-1', `--format=${format}`, commit);
  }
}
