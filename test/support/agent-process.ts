/** An agent beside those of `up`: of its own labels and data directory, to be killed and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadIdentity } from '../../agent/session/identity.js';
import { eventually } from './eventually.js';
import { agentMain, cleanEnv, type Up } from './installation.js';

export class AgentProcess {
  #child: ChildProcess | undefined;

  private constructor(
    readonly name: string,
    readonly data: string,
    readonly start: () => void,
  ) {}

  /** `labels`: it offers these; `flags`: further ones. */
  static async make(
    up: Up,
    name: string,
    options: { readonly labels: readonly string[]; readonly flags?: readonly string[] },
  ): Promise<AgentProcess> {
    const data = await mkdtemp(join(tmpdir(), 'gantry-agent-'));
    const labels = options.labels.flatMap((label) => ['--label', label]);
    const { token } = (await up.json(['agents', 'token', ...labels])) as { readonly token: string };
    const args = [
      '--coordinator',
      up.grpc,
      '--data',
      data,
      '--name',
      name,
      ...labels,
      ...(options.flags ?? []),
    ];
    const made: AgentProcess = new AgentProcess(name, data, () => {
      made.#child = spawn(process.execPath, [agentMain, ...args], {
        env: cleanEnv({ GANTRY_TOKEN: token, HOME: data }),
        stdio: 'ignore',
      });
    });
    made.start();
    return made;
  }

  /** At once, with what it runs left as it is. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** The second signal ends what the first would hand over: boxes, and the agent's network. */
  async end(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      let gone = false;
      child.once('exit', () => (gone = true));
      child.kill('SIGTERM');
      // Two that wait at once count as one, so the second follows until the agent is gone.
      await eventually(
        `agent ${this.name} ends`,
        async () => {
          await new Promise((resolve) => setImmediate(resolve));
          if (!gone) child.kill('SIGTERM');
          return gone;
        },
        30_000,
      );
    }
    // One that was killed for good leaves the scripts of its steps in memory.
    const { agent } = await loadIdentity(this.data);
    await rm(join('/dev/shm', `gantry-${agent}`), { recursive: true, force: true });
    await rm(this.data, { recursive: true, force: true });
  }
}
