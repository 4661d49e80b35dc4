import { blameOf } from '../../../shared/model/failure.js';
import { shortRunId } from '../../../shared/model/ids.js';
import type { RunView, StageView } from '../../../shared/model/run.js';
import { decisiveFailures } from './run-end.js';

/** What to type after a run has ended, most useful first. */
export function nextCommands(run: RunView): readonly string[] {
  const id = shortRunId(run.run);
  const failed = decisiveFailures(run)[0];
  // Of the last stage that made something: mostly what the others were for.
  const artifact = run.artifacts.at(-1);
  const rows: [string, string][] = [];
  if (failed !== undefined) {
    rows.push([`gantry logs ${id} ${stageArguments(failed)}`, 'the whole log of what failed']);
    const ours = failed.failure !== null && blameOf(failed.failure) === 'ours';
    rows.push([
      `gantry retry ${id}`,
      ours ? 'the same again; the failure was not the change’s' : 'the same again',
    ]);
  }
  if (artifact !== undefined) {
    const stage = run.stages.find((candidate) => candidate.number === artifact.stageNumber);
    const which = stage === undefined ? String(artifact.stageNumber) : stageArguments(stage);
    const name = which.includes(' ') ? String(artifact.stageNumber) : which;
    rows.push([`gantry artifacts get ${id} ${name} ${artifact.name} -o DIR`, 'fetch what it made']);
  }
  rows.push([`gantry show ${id}`, 'all about it']);
  const width = Math.max(...rows.map(([command]) => command.length));
  return ['', 'Next:', ...rows.map(([command, what]) => `  ${command.padEnd(width)}   ${what}`)];
}

/** How to name the stage on the command line: `test --cell python=3.12`. */
export function stageArguments(stage: Pick<StageView, 'name' | 'cell'>): string {
  const cells = Object.entries(stage.cell).map(([key, value]) => ` --cell ${quoted(`${key}=${value}`)}`);
  return stage.name + cells.join('');
}

/** For a POSIX shell. */
export const quoted = (word: string): string =>
  /^[A-Za-z0-9_./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
