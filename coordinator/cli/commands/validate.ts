import type { Command } from 'commander';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { compilePipeline, type CompiledPipeline } from '../../pipeline/compile.js';
import { renderGraph } from '../../pipeline/draw.js';
import { pipelineJsonSchema } from '../../pipeline/json-schema.js';
import { renderDiagnostics } from '../../pipeline/render.js';
import { describeTriggers } from '../../pipeline/trigger-rules.js';
import { CliError, messageOf, systemCodeOf } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { count } from '../format.js';
import { createOutput } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface ValidateFlags {
  readonly json?: boolean;
  readonly schema?: boolean;
}

export function configure(command: Command): void {
  command
    .argument('[file]', 'a pipeline file, a directory that has one, or - for stdin (default: .gantry.yml)')
    .option('--json', 'for scripts: {"valid":…,"diagnostics":[…],"on":…,"notify":…,"stages":[…]}')
    .option('--schema', 'print the JSON Schema of pipeline files, for editors')
    .description(
      'Check a pipeline file: all that is wrong with it, at once, and the graph of its stages. Needs no coordinator.',
    )
    .addHelpText('after', examples('gantry validate', 'gantry validate --schema > gantry.schema.json'))
    .action((given: string | undefined, flags: ValidateFlags) => {
      const output = createOutput({ json: flags.json === true });
      if (flags.schema === true) {
        process.stdout.write(`${JSON.stringify(pipelineJsonSchema(), null, 2)}\n`);
        return;
      }
      const { file, text } = readPipelineFile(given ?? '.');
      const compiled = compilePipeline(text, { file });
      const diagnostics = compiled.ok ? compiled.warnings : compiled.diagnostics;
      if (output.json) {
        output.data({
          file,
          valid: compiled.ok,
          diagnostics,
          ...(compiled.ok ? json(compiled) : { stages: [] }),
        });
      } else {
        if (diagnostics.length > 0)
          output.note(renderDiagnostics(diagnostics, { file, color: output.color }));
        if (compiled.ok) {
          output.line(`${file} is valid: ${count(compiled.stages.length, 'stage')}`);
          output.line(`started by ${printable(describeTriggers(compiled.on))}`);
          output.line('');
          output.line(renderGraph(compiled.stages, compiled.conditions));
        }
      }
      exits(compiled.ok ? exitCodes.done : exitCodes.usage);
    });
}

/** `if` is the condition of a stage or step, as written. */
const json = ({ on, notify, stages, conditions }: CompiledPipeline): object => ({
  on,
  notify: notify ?? null,
  stages: stages.map((stage) => {
    const mine = conditions.get(stage.number);
    const own = mine?.stage;
    return {
      ...stage,
      ...(own === undefined ? {} : { if: own.text }),
      steps: stage.steps.map((step) => {
        const condition = mine?.steps.get(step.number);
        return condition === undefined ? step : { ...step, if: condition.text };
      }),
    };
  }),
});

function readPipelineFile(given: string): { readonly file: string; readonly text: string } {
  if (given === '-') return { file: 'stdin', text: readFileSync(0, 'utf8') };
  try {
    const file = statSync(given).isDirectory() ? path.join(given, '.gantry.yml') : given;
    return { file, text: readFileSync(file, 'utf8') };
  } catch (error) {
    const missing = systemCodeOf(error) === 'ENOENT';
    const name = given === '.' ? '.gantry.yml in this directory' : given;
    throw new CliError(
      exitCodes.usage,
      missing ? `there is no ${name}` : `cannot read ${given}: ${messageOf(error)}`,
      {
        remedies: missing ? ['`gantry init` writes one to start from'] : [],
        cause: error,
      },
    );
  }
}
