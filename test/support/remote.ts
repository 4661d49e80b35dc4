/** A repository that people push to: bare, on disk, as a git server has it, and a developer's clone of it. */
import { mkdtemp, rm, writeFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runProgram, type Finished } from './installation.js';

export interface Person {
  readonly name: string;
  readonly mail: string;
}

export const ada: Person = { name: 'Ada Author', mail: 'ada@example.org' };

export class Remote {
  private constructor(
    /** Of the bare repository. */
    readonly directory: string,
    readonly clone: string,
  ) {}

  /** Below `root`. `main` is the default branch; nothing is pushed yet. */
  static async make(root: string, name = 'app'): Promise<Remote> {
    const directory = join(root, `${name}.git`);
    const clone = await mkdtemp(join(root, 'clone-'));
    const remote = new Remote(directory, clone);
    await remote.git(root, 'init', '--quiet', '--bare', '--initial-branch=main', directory);
    await remote.git(root, 'clone', '--quiet', directory, clone);
    await remote.git(clone, 'checkout', '--quiet', '-b', 'main');
    return remote;
  }

  /** Commits these files (on the branch that is checked out), and says the commit's id. */
  async commit(
    files: Readonly<Record<string, string>>,
    options: { readonly message?: string; readonly author?: Person } = {},
  ): Promise<string> {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.clone, name)), { recursive: true });
      await writeFile(join(this.clone, name), text);
    }
    const { name, mail } = options.author ?? ada;
    await this.git(this.clone, 'add', '--all');
    await this.git(
      this.clone,
      '-c',
      `user.name=${name}`,
      '-c',
      `user.email=${mail}`,
      'commit',
      '--quiet',
      '--allow-empty',
      '--message',
      options.message ?? 'a change',
    );
    return this.git(this.clone, 'rev-parse', 'HEAD');
  }

  /** What git said to whoever pushed. */
  async push(...args: readonly string[]): Promise<Finished> {
    const all = args.length === 0 ? ['HEAD'] : args;
    const pushed = await runProgram('git', ['-C', this.clone, 'push', 'origin', ...all]);
    if (pushed.code !== 0) throw new Error(`git push ${args.join(' ')}: ${pushed.stderr}`);
    return pushed;
  }

  async git(directory: string, ...args: readonly string[]): Promise<string> {
    const finished = await runProgram('git', ['-C', directory, ...args]);
    if (finished.code !== 0) throw new Error(`git ${args.join(' ')}: ${finished.stderr}`);
    return finished.stdout.trim();
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    await rm(this.clone, { recursive: true, force: true });
  }
}
