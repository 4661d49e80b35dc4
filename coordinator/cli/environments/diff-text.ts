/** What `gantry environments diff` says. */
import type { RecordDifference } from '../../../shared/model/environment-view.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { shorten, table } from '../format.js';
import { colors } from '../output.js';
import type { ShownDiff } from './environment-from-wire.js';

export function diffText(
  diff: ShownDiff,
  names: { readonly left: string; readonly right: string },
  color: boolean,
): string[] {
  const paint = colors(color);
  const [left, right] = [printable(names.left), printable(names.right)];
  const { isIdentical, differences, declared } = diff;
  const lines = isIdentical
    ? [paint.green(`${left} #${diff.left} and ${right} #${diff.right} are identical`)]
    : [paint.red(`${left} #${diff.left} and ${right} #${diff.right} are different`)];
  if (differences.length > 0) {
    const head = ['  ', '', left, right].map((word) => paint.dim(word));
    lines.push(...table([head, ...differences.map(rowOf)]));
  }
  if (declared.length > 0) {
    const all = declared.map(({ what, name }) => `${wordOf[what]} ${printable(name)}`).join(', ');
    lines.push(paint.dim(`  may differ, and does: ${all}`));
  }
  return lines;
}

const wordOf: Readonly<Record<RecordDifference['what'], string>> = {
  commit: 'commit',
  artifact: 'artifact',
  image: 'image',
  step: 'step',
  env: 'variable',
  secret: 'secret',
};

const rowOf = ({ what, name, left, right }: RecordDifference): string[] => [
  `  ${wordOf[what]}`,
  what === 'commit' ? '' : shorten(printable(name), 30),
  shown(left),
  shown(right),
];

/** Enough of a digest to tell two apart; where a step stands is said in words. */
function shown(digest: string | null): string {
  if (digest === null) return 'none';
  return digest.startsWith('step ') ? digest : digest.replace(/^sha256:/, '').slice(0, 12);
}
