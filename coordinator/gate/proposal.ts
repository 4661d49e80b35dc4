/** Reads `refs/for/<target>/<name>`. */

const prefix = 'refs/for/';

export interface Proposal {
  readonly target: string;
  readonly name: string;
}

/**
 * Both parts may hold slashes, so the longest branch that exists wins: with `release` and `release/1.0`,
 * `refs/for/release/1.0/fix` is for the latter. Undefined: no proposal, without a name, or for no branch there is.
 */
export function readProposal(ref: string, branches: ReadonlySet<string>): Proposal | undefined {
  if (!ref.startsWith(prefix)) return undefined;
  const rest = ref.slice(prefix.length);
  for (let slash = rest.lastIndexOf('/'); slash > 0; slash = rest.lastIndexOf('/', slash - 1)) {
    const target = rest.slice(0, slash);
    const name = rest.slice(slash + 1);
    if (name !== '' && branches.has(target)) return { target, name };
  }
  return undefined;
}

export const proposalRef = ({ target, name }: Proposal): string => `${prefix}${target}/${name}`;
