/** A text file as it was committed. */
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import { gitText, runGit, type GitCommand } from '../../shared/git/git-program.js';
import type { CommitId } from '../../shared/model/ids.js';

const maxBytes = 1024 * 1024;

/** Undefined: the commit has no such file. Throws `CheckoutError` for a link, a directory, or more than a mebibyte. */
export async function committedText(
  git: Omit<GitCommand, 'args'>,
  what: { readonly commit: CommitId; readonly file: string },
): Promise<string | undefined> {
  const { commit, file } = what;
  const listed = await gitText({ ...git, args: ['ls-tree', '-z', commit, '--', file] });
  const [mode, type, object] = listed.split(/[ \t]/);
  if (object === undefined || listed === '') return undefined;
  if (type !== 'blob' || mode === '120000') {
    const found = mode === '120000' ? 'symbolic link' : String(type);
    throw wrongFile(`${file} at commit ${commit} is not a file, but a ${found}`);
  }
  const bytes = Number(await gitText({ ...git, args: ['cat-file', '-s', object] }));
  if (bytes > maxBytes) {
    throw wrongFile(`${file} at commit ${commit} has ${bytes} bytes, and ${maxBytes} are allowed`);
  }
  return (await runGit({ ...git, args: ['cat-file', 'blob', object] })).stdout.toString('utf8');
}

const wrongFile = (message: string): CheckoutError =>
  new CheckoutError({ kind: 'checkout-failed', transient: false, message });
