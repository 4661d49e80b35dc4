/** `gantry environments diff`: in what two deployments differ, by digests and keyed hashes; values are never seen here. */
import type { DeploymentRecord } from '../../shared/model/deployment.js';
import type { RecordDiff, RecordDifference } from '../../shared/model/environment-view.js';

interface Item {
  readonly name: string;
  readonly digest: string;
}

type What = RecordDifference['what'];

const partsOf = (record: DeploymentRecord): Readonly<Record<Exclude<What, 'commit'>, readonly Item[]>> => ({
  artifact: record.artifacts.map(({ name, sha256 }) => ({ name, digest: sha256 })),
  image: record.images,
  step: record.steps.map(({ name, sha256 }) => ({ name, digest: sha256 })),
  env: record.env.map(({ name, hash }) => ({ name, digest: hash })),
  secret: record.secrets.map(({ name, hash }) => ({ name, digest: hash })),
});

/** `differs`: names that one of the two environments declares; of a step's variable `NAME` or `<step>.NAME`. A commit cannot be declared. */
export function diffRecords(
  left: DeploymentRecord,
  right: DeploymentRecord,
  differs: readonly string[],
): RecordDiff {
  const all: RecordDifference[] = [];
  if (left.commit !== right.commit) {
    all.push({ what: 'commit', name: 'commit', left: left.commit, right: right.commit });
  }
  const [one, other] = [partsOf(left), partsOf(right)];
  for (const what of ['artifact', 'image', 'step', 'env', 'secret'] as const) {
    all.push(...differencesOf(what, one[what], other[what]));
  }
  const isDeclared = ({ what, name }: RecordDifference): boolean =>
    what !== 'commit' && (differs.includes(name) || (what === 'env' && differs.includes(variableOf(name))));
  const differences = all.filter((difference) => !isDeclared(difference));
  return { isIdentical: differences.length === 0, differences, declared: all.filter(isDeclared) };
}

/** Of `<step>.<variable>`, or of the stage's own: names of variables have no dot. */
const variableOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** The n-th of a name is compared with the n-th of the name: two steps may be called the same. Order counts for steps only. */
function differencesOf(
  what: What,
  left: readonly Item[],
  right: readonly Item[],
): readonly RecordDifference[] {
  const [one, other] = [byName(left), byName(right)];
  const differences: RecordDifference[] = [];
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    const [lefts, rights] = [one.get(name) ?? [], other.get(name) ?? []];
    for (let n = 0; n < Math.max(lefts.length, rights.length); n += 1) {
      const [a, b] = [lefts[n] ?? null, rights[n] ?? null];
      if (a !== b) differences.push({ what, name, left: a, right: b });
    }
  }
  if (what !== 'step' || differences.length > 0) return differences;
  const at = left.findIndex(({ name }, n) => right[n]?.name !== name);
  const moved = left[at];
  if (moved === undefined) return [];
  return [{ what, name: moved.name, left: `step ${at + 1}`, right: `step ${placeOf(right, moved) + 1}` }];
}

const placeOf = (items: readonly Item[], { name }: Item): number =>
  items.findIndex((item) => item.name === name);

function byName(items: readonly Item[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { name, digest } of items) found.set(name, [...(found.get(name) ?? []), digest]);
  return found;
}
