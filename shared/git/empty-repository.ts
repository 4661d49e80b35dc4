import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface EmptyRepository {
  readonly bare: boolean;
  /** Length of the ids in it decides: 64 characters are SHA-256, 40 SHA-1. */
  readonly commitLength: number;
  /** Short name of the branch that HEAD will be. Default `main`. */
  readonly branch?: string;
  /** `remote.origin.url`; without credentials. */
  readonly origin?: string;
}

/**
 * Makes a git repository with nothing in it: what `git init` and several `git config` would do, without starting five processes
 * and without templates. `gitDir` is the `.git` directory itself; it may exist and must be empty.
 */
export async function makeEmptyRepository(gitDir: string, repository: EmptyRepository): Promise<void> {
  const branch = repository.branch ?? 'main';
  await mkdir(path.join(gitDir, 'objects', 'info'), { recursive: true });
  await mkdir(path.join(gitDir, 'objects', 'pack'));
  await mkdir(path.join(gitDir, 'refs', 'heads'), { recursive: true });
  await mkdir(path.join(gitDir, 'refs', 'tags'));
  await writeFile(path.join(gitDir, 'HEAD'), `ref: refs/heads/${branch}\n`);
  await writeFile(path.join(gitDir, 'config'), configOf(repository));
}

function configOf(repository: EmptyRepository): string {
  const sha256 = repository.commitLength === 64;
  const lines = [
    '[core]',
    `\trepositoryformatversion = ${sha256 ? 1 : 0}`,
    '\tfilemode = true',
    `\tbare = ${repository.bare}`,
  ];
  if (sha256) lines.push('[extensions]', '\tobjectformat = sha256');
  if (repository.origin !== undefined) {
    lines.push('[remote "origin"]', `\turl = ${quoted(repository.origin)}`);
    lines.push('\tfetch = +refs/heads/*:refs/remotes/origin/*');
    if (repository.branch !== undefined) {
      lines.push(`[branch ${quoted(repository.branch)}]`, '\tremote = origin');
      lines.push(`\tmerge = ${quoted(`refs/heads/${repository.branch}`)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** As git reads values and names of sections; a line end could begin a setting of its own. */
const quoted = (text: string): string =>
  `"${text.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n').replace(/\t/g, '\\t')}"`;
