/** A project that deploys, on host agents: its environments are files of a directory, and a log tells what was put there. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ShownEnvironment } from '../../coordinator/cli/environments/environment-from-wire.js';
import type { DeploymentView } from '../../shared/model/environment-view.js';
import type { RunSummary, RunView } from '../../shared/model/run.js';
import { eventually } from './eventually.js';
import type { Finished, Up } from './installation.js';
import { Remote, type Person } from './remote.js';

/**
 * `servers`: where the environments are. A deployment appends one line to `<environment>.log` per step, so that the log counts
 * what has really begun; `hold.<environment>` lets it wait between its first step and its second.
 */
const pipelineOf = (servers: string): string => `env: { SERVERS: "${servers}" }
stages:
  build:
    agents: [executor=host]
    image: null
    steps: ["cp version.txt app.txt; date +%N >> app.txt"]
    artifacts: { app: app.txt }
  staging:
    needs: [build]
    environment: staging
    agents: [executor=host, deploy]
    image: null
    secrets: [TOKEN]
    steps: [sh deploy.sh begin, sh deploy.sh put]
    verify: [sh verify.sh]
  production:
    needs: [build, staging]
    environment: production
    agents: [executor=host, deploy]
    image: null
    secrets: [TOKEN]
    steps: [sh deploy.sh begin, sh deploy.sh put]
    verify: [sh verify.sh]
`;

const deployScript = `here=$SERVERS/$GANTRY_ENVIRONMENT
echo "$1 $GANTRY_COMMIT $(head -n 1 app.txt)" >> $here.log
if [ "$1" = begin ]; then
  i=0; while [ -e $here.hold ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done
else
  cp app.txt $here; echo "$TOKEN" | rev > $here.token
fi
`;

/** What it verifies is what stands there, and that it is this commit's. */
const verifyScript = `here=$SERVERS/$GANTRY_ENVIRONMENT
[ "$(cat $here.broken 2>/dev/null)" != "$(head -n 1 app.txt)" ] || { echo "$GANTRY_ENVIRONMENT does not answer"; exit 1; }
grep -q "^put $GANTRY_COMMIT" $here.log && cmp app.txt $here
`;

export interface DeliveryProjectOptions {
  readonly up: Up;
  /** Below which the repository and the servers are. */
  readonly root: string;
  readonly name: string;
  /** Flags of the two environments. */
  readonly staging?: readonly string[];
  readonly production?: readonly string[];
}

export class DeliveryProject {
  private constructor(
    readonly up: Up,
    readonly remote: Remote,
    readonly servers: string,
  ) {}

  /** Production promotes from staging. Nothing is pushed yet. */
  static async make(options: DeliveryProjectOptions): Promise<DeliveryProject> {
    const { up, root, name, staging = [], production = [] } = options;
    const remote = await Remote.make(root, name);
    const made = new DeliveryProject(up, remote, join(root, `${name}-servers`));
    await mkdir(made.servers);
    await up.json(['projects', 'add', remote.directory, '--poll', '1s']);
    await made.json('environments', 'add', 'staging', ...staging);
    await made.json('environments', 'add', 'production', '--promotes-from', 'staging', ...production);
    await made.secret('project-token');
    return made;
  }

  get name(): string {
    return this.remote.directory.replace(/\.git$/, '');
  }

  gantry(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
    return this.up.gantry(args, { cwd: this.remote.clone, env });
  }

  json(...args: readonly string[]): Promise<unknown> {
    return this.up.json(args, { cwd: this.remote.clone });
  }

  async secret(value: string, ...flags: readonly string[]): Promise<void> {
    const args = ['secrets', 'set', this.name, 'TOKEN', '--file', '-', ...flags];
    const set = await this.up.gantry(args, { input: value });
    if (set.code !== 0) throw new Error(set.stderr);
  }

  /** A commit on `main`, pushed. Says its id. */
  async push(
    version: string,
    files: Readonly<Record<string, string>> = {},
    author?: Person,
  ): Promise<string> {
    const all = {
      '.gantry.yml': pipelineOf(this.servers),
      'deploy.sh': deployScript,
      'verify.sh': verifyScript,
      'version.txt': `${version}\n`,
      ...files,
    };
    const commit = await this.remote.commit(all, {
      message: version,
      ...(author === undefined ? {} : { author }),
    });
    await this.remote.push();
    return commit;
  }

  async environment(name: string): Promise<ShownEnvironment> {
    return (await this.json('environments', 'show', name)) as ShownEnvironment;
  }

  /** The deployment of a commit (no rollback), once it has this status. */
  deployed(environment: string, commit: string, status: string, withinMs = 60_000): Promise<DeploymentView> {
    let last = 'nothing';
    return eventually(
      `${environment}: ${commit.slice(0, 8)} ${status}`,
      async () => {
        const { open, history } = await this.environment(environment);
        const found = [...open, ...history].find((one) => one.commit === commit && one.rollbackOf === null);
        last =
          found === undefined ? 'nothing' : `${found.status}: ${found.reason ?? found.waitingFor.join()}`;
        return found?.status === status ? found : undefined;
      },
      withinMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)} (it is ${last})`);
    });
  }

  async runs(): Promise<readonly RunSummary[]> {
    return ((await this.up.json(['runs', '--project', this.name])) as { runs: RunSummary[] }).runs;
  }

  async show(run: string): Promise<RunView> {
    return (await this.up.json(['show', run])) as RunView;
  }

  /** Lines of what has begun, or was put, there. */
  async log(environment: string, word: 'begin' | 'put'): Promise<readonly string[]> {
    const text = await this.file(`${environment}.log`);
    return text.split('\n').filter((line) => line.startsWith(`${word} `));
  }

  /** While it is there, a deployment waits between its first step and its second. */
  async hold(environment: string): Promise<void> {
    await writeFile(join(this.servers, `${environment}.hold`), '');
  }

  async release(environment: string): Promise<void> {
    await rm(join(this.servers, `${environment}.hold`), { force: true });
  }

  /** The verify of this version fails there: what is rolled back to in the same moment is another one. */
  async break(environment: string, version: string): Promise<void> {
    await writeFile(join(this.servers, `${environment}.broken`), `${version}\n`);
  }

  /** Empty: there is none. */
  file(name: string): Promise<string> {
    return readFile(join(this.servers, name), 'utf8').catch(() => '');
  }
}
