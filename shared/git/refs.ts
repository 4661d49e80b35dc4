/** Where a bundle of a submitted tree holds the commit to check out. Tags beside it have their own names. */
export const submittedRef = 'refs/gantry/submitted';

// eslint-disable-next-line no-control-regex -- control characters are among what git forbids
const forbidden = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|\.$|\/$|^\//;

/** Whether git takes the text for the full name of a ref: the rules of `git check-ref-format`. */
export function isRefName(ref: string): boolean {
  const parts = ref.split('/');
  return (
    parts.length >= 2 &&
    !forbidden.test(ref) &&
    parts.every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'))
  );
}

/** Whether the text can be the short name of a branch. Names come from remotes and people, and become refs and arguments. */
export const isBranchName = (branch: string): boolean =>
  branch !== '' && branch !== 'HEAD' && !branch.startsWith('-') && isRefName(`refs/heads/${branch}`);
