/** What `submit` finds out before it talks to anybody: the tree, its pipeline, and what a person should know first. */
import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { PlannedStage } from '../../../shared/model/pipeline.js';
import { compilePipeline } from '../../pipeline/compile.js';
import type { Diagnostic } from '../../pipeline/diagnostic.js';
import { renderDiagnostics } from '../../pipeline/render.js';
import { describeTree, TreeError, type TreeDescription } from '../../source/git-tree.js';
import { CliError, messageOf, systemCodeOf } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { count, size } from '../format.js';
import { printable } from '../../../shared/text/terminal-text.js';

export const pipelineFile = '.gantry.yml';

export interface LocalTree {
  readonly tree: TreeDescription;
  readonly pipelineText: string;
  readonly stages: readonly PlannedStage[];
  readonly warnings: readonly Diagnostic[];
}

/** Untracked files beyond this are sent only with `--yes`: mostly they are build output that nobody ignored. */
const untrackedMaxBytes = 100 * 1024 * 1024;
/** The text travels in one message beside the plan. */
const pipelineMaxBytes = 1024 * 1024;

/** Throws `CliError` (wrong usage) with everything that is wrong. */
export async function readLocalTree(
  directory: string,
  options: { readonly signal: AbortSignal },
): Promise<LocalTree> {
  let tree: TreeDescription;
  try {
    tree = await describeTree(directory, options.signal);
  } catch (error) {
    if (error instanceof TreeError) throw new CliError(exitCodes.usage, error.message, { cause: error });
    throw error;
  }
  const pipelineText = await readPipeline(tree);
  const compiled = compilePipeline(pipelineText, { file: pipelineFile });
  if (!compiled.ok) {
    throw new CliError(
      exitCodes.usage,
      `${pipelineFile} is not valid\n${renderDiagnostics(compiled.diagnostics, { file: pipelineFile, color: false })}`,
    );
  }
  return { tree, pipelineText, stages: compiled.stages, warnings: compiled.warnings };
}

async function readPipeline(tree: TreeDescription): Promise<string> {
  const file = path.join(tree.root, pipelineFile);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') {
      throw new CliError(exitCodes.usage, `cannot read ${file}: ${messageOf(error)}`, { cause: error });
    }
    const nested = path.join(tree.root, tree.prefix, pipelineFile);
    throw new CliError(exitCodes.usage, `there is no ${pipelineFile} in ${tree.root}`, {
      remedies:
        tree.prefix !== '' && existsSync(nested)
          ? [
              `${nested} is there, but the tree that is sent is the whole repository, and its pipeline is in its root`,
            ]
          : ['write one: `gantry init` makes a commented one to start from'],
    });
  }
  if (Buffer.byteLength(text) > pipelineMaxBytes) {
    throw new CliError(
      exitCodes.usage,
      `${file} has ${size(Buffer.byteLength(text))}; a pipeline file has at most ${size(pipelineMaxBytes)}`,
    );
  }
  return text;
}

/** Names of stages that were asked for but are not there are an error, before anything is sent. */
export function checkStageNames(wanted: readonly string[], stages: readonly PlannedStage[]): void {
  const known = new Set(stages.map((stage) => stage.name));
  const unknown = wanted.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new CliError(exitCodes.usage, `${pipelineFile} has no stage ${unknown.join(', ')}`, {
    remedies: [`its stages: ${[...known].join(', ')}`],
  });
}

/** Sentences that a person should read before the tree leaves the machine. */
export function treeNotes(tree: TreeDescription): readonly string[] {
  const notes: string[] = [];
  const bytes = untrackedBytes(tree);
  if (tree.untracked.length > 0) {
    const what =
      tree.kind === 'git'
        ? count(tree.untracked.length, 'untracked file')
        : count(tree.untracked.length, 'file');
    const where = tree.kind === 'git' ? '' : ` (${tree.root} is no git repository)`;
    notes.push(`sending ${what}, ${size(bytes)}${where}`);
  }
  for (const { path: file, reason } of tree.secrets.slice(0, 10)) {
    notes.push(
      `warning: ${printable(file)} is sent too, and looks like a secret (${reason}); ignore it in .gitignore if it is one`,
    );
  }
  if (tree.secrets.length > 10)
    notes.push(`warning: and ${tree.secrets.length - 10} more files that look like secrets`);
  for (const repository of tree.embedded.slice(0, 10)) {
    notes.push(
      `warning: ${printable(repository)} is a repository of its own; only the commit it is at is sent, not its files`,
    );
  }
  return notes;
}

export function refuseTooMuch(tree: TreeDescription): void {
  const bytes = untrackedBytes(tree);
  if (bytes <= untrackedMaxBytes) return;
  const largest = [...tree.untracked].sort((a, b) => b.bytes - a.bytes).slice(0, 3);
  const names = largest
    .map((file) => `${printable(file.path.toString('utf8'))} (${size(file.bytes)})`)
    .join(', ');
  throw new CliError(
    exitCodes.refused,
    `${count(tree.untracked.length, 'untracked file')} of ${size(bytes)} would be sent, more than ${size(untrackedMaxBytes)}`,
    {
      remedies: [
        `the largest: ${names}`,
        'list what need not be sent in .gitignore, or send it all with --yes',
      ],
    },
  );
}

const untrackedBytes = (tree: TreeDescription): number =>
  tree.untracked.reduce((sum, file) => sum + file.bytes, 0);
