/**
 * Steps as processes of this machine, for build machines that cannot run containers: no isolation, trusted runs only.
 * Same supervisor, files and marker as in a container. A box does not outlive its agent process: there is nothing to
 * adopt, and what a killed agent left is swept by its mark.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { attemptKey, type AgentId } from '../../shared/model/ids.js';
import { ExecutorError, type Box, type BoxSpec, type Executor } from './executor.js';
import { attemptDirectory, findMemoryDirectory, sweepMemoryDirectory } from './in-directory.js';
import { boxVariable, HostLink, killMarked, type SupervisorProcess } from './host-link.js';
import { removeTree } from './remove-tree.js';
import { SupervisedBox, type SupervisedBoxOptions } from './supervised-box.js';
import { parseGreeting, requiredPrograms, supervisorScript } from './supervisor.js';

const greetingMs = 10_000;

export interface HostExecutorOptions {
  readonly agentId: AgentId;
  readonly dataDirectory: string;
  readonly log: Logger;
  /** Runs stages that name an image without it; each run then shows so. */
  readonly ignoreImage: boolean;
}

export function createHostExecutor(options: HostExecutorOptions): Executor {
  return new HostExecutor(options);
}

class HostBox extends SupervisedBox implements Box {
  readonly #link: HostLink;
  readonly #inDirectory: string;

  constructor(options: Omit<SupervisedBoxOptions, 'link'> & { readonly link: HostLink }) {
    super(options);
    this.#link = options.link;
    this.#inDirectory = options.inDirectory;
  }

  /** Processes of a host cannot be paused as one; ending them comes to the same. */
  freeze(): Promise<void> {
    return this.#link.kill();
  }

  async remove(): Promise<void> {
    this.close();
    await this.#link.kill();
    await rm(this.#inDirectory, { recursive: true, force: true });
  }
}

class HostExecutor implements Executor {
  readonly kind = 'host';
  readonly labels: readonly string[];
  readonly #options: HostExecutorOptions;
  readonly #boxes = new Set<HostBox>();
  #memoryDirectory: Promise<string | undefined> | undefined;

  constructor(options: HostExecutorOptions) {
    this.labels = options.ignoreImage ? ['executor=host', 'images'] : ['executor=host'];
    this.#options = options;
  }

  async check(): Promise<void> {
    if (process.platform !== 'linux') {
      throw broken(
        `the host executor needs Linux (it finds a step's processes in /proc); this is ${process.platform}`,
      );
    }
    const { link, child } = this.#spawn('check', { in: '/nowhere', out: '/nowhere' }, '/');
    const said = parseGreeting(await link.greeting(greetingMs));
    child.kill('SIGKILL');
    // `unreadable` is as far as it gets without a slot, and comes after it found its programs.
    if (said?.kind !== 'unreadable') throw broken(missing(said?.kind === 'missing' ? said.program : 'sh'));
  }

  likelyImage(): undefined {
    return undefined;
  }

  /** Images mean nothing here; the reference is its own answer. */
  resolveImage(image: string, options: { readonly pinned?: string }): Promise<string> {
    if (!this.#options.ignoreImage) return Promise.reject(imageRefused(image));
    return Promise.resolve(options.pinned ?? image);
  }

  async openBox(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    signal.throwIfAborted();
    this.#refuse(spec);
    const memory = await this.#memory();
    const inDirectory =
      memory === undefined ? join(spec.slot.root, 'in') : join(memory, attemptDirectory(spec.ref));
    const home = join(spec.slot.root, 'home');
    const hello = randomBytes(8).toString('hex');
    await mkdir(inDirectory, { recursive: true, mode: 0o700 });
    await mkdir(home, { recursive: true, mode: 0o700 });
    await writeFile(join(inDirectory, 'hello'), `${hello}\n`);
    const directories = { in: inDirectory, out: spec.slot.out };
    const { link } = this.#spawn(attemptKey(spec.ref), directories, spec.slot.workspace, home);
    try {
      const said = parseGreeting(await link.greeting(greetingMs));
      signal.throwIfAborted();
      if (said?.kind === 'missing') throw broken(missing(said.program));
      if (said?.kind !== 'ready' || said.hello !== hello)
        throw broken('the steps’ supervisor did not answer');
      const box: HostBox = new HostBox({
        agent: this.#options.agentId,
        inDirectory,
        outDirectory: spec.slot.out,
        stepsFile: join(spec.slot.root, 'steps'),
        owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
        place: {
          ...directories,
          workspace: spec.slot.workspace,
          home,
          shell: said.bash === undefined ? { name: 'sh', path: said.sh } : { name: 'bash', path: said.bash },
        },
        link,
      });
      this.#boxes.add(box);
      return box;
    } catch (error) {
      await link.kill();
      await rm(inDirectory, { recursive: true, force: true });
      throw error;
    }
  }

  findBoxes(): Promise<readonly []> {
    return Promise.resolve([]);
  }

  adoptBox(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async sweep(keep: ReadonlySet<string>): Promise<void> {
    const own = `${this.#options.agentId}:`;
    await killMarked((value) => value.startsWith(own) && !keep.has(value.slice(own.length)));
    const memory = await this.#memory();
    if (memory !== undefined) {
      await sweepMemoryDirectory(memory, new Set([...keep].map((key) => key.replaceAll('/', '-'))));
    }
  }

  removeTree(path: string): Promise<void> {
    return removeTree(path);
  }

  /** Nobody can take a box over, so none may stay. */
  async close(): Promise<void> {
    for (const box of this.#boxes) box.close();
    this.#boxes.clear();
    await this.sweep(new Set());
    const memory = await this.#memory();
    // Somebody else's file in it would be no reason to fail.
    if (memory !== undefined) await rmdir(memory).catch(() => undefined);
  }

  /** Scripts carry the environment of steps: in memory, if the machine has such a file system. */
  #memory(): Promise<string | undefined> {
    this.#memoryDirectory ??= findMemoryDirectory(this.#options.agentId);
    return this.#memoryDirectory;
  }

  #spawn(
    attempt: string,
    directories: { readonly in: string; readonly out: string },
    cwd: string,
    home = cwd,
  ): { readonly link: HostLink; readonly child: SupervisorProcess } {
    const mark = `${this.#options.agentId}:${attempt}`;
    const child = spawn('sh', ['-c', supervisorScript(directories)], {
      // A session of its own: signals to the agent's terminal are not for steps.
      detached: true,
      cwd,
      env: { ...cleanEnvironment(home), [boxVariable]: mark },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.unref();
    return { child, link: new HostLink(child, mark) };
  }

  #refuse(spec: BoxSpec): void {
    const refuse = (message: string): never => {
      throw new ExecutorError({ kind: 'invalid-pipeline', message });
    };
    if (spec.image !== undefined && !this.#options.ignoreImage) throw imageRefused(spec.image);
    if (spec.services.length > 0) {
      refuse('services need containers: run the stage on an agent with `executor=docker`');
    }
    const { uid, username } = userInfo();
    if (spec.user !== undefined && spec.user !== username && spec.user !== String(uid)) {
      refuse(`user: ${spec.user} needs containers; on this agent steps run as ${username}`);
    }
  }
}

const broken = (message: string): ExecutorError => new ExecutorError({ kind: 'box-broken', message });
const missing = (program: string): string =>
  `the host executor needs ${requiredPrograms.join(', ')} on the PATH; "${program}" is missing (coreutils, util-linux)`;
const imageRefused = (image: string): ExecutorError =>
  new ExecutorError({
    kind: 'invalid-pipeline',
    message: `the stage names the image ${image}, and this agent runs no containers: use one with \`executor=docker\`, or start it with --ignore-image`,
  });

/** What a step gets of the agent's own environment: where programs are and how text is, and no secret. */
function cleanEnvironment(home: string): NodeJS.ProcessEnv {
  const kept = ['PATH', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'TMPDIR'];
  const environment: NodeJS.ProcessEnv = { HOME: home, USER: userInfo().username };
  for (const name of kept) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
