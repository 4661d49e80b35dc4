import type { Command } from 'commander';
import type { WhyResponse__Output } from '../../../shared/wire/gen/gantry/v1/WhyResponse.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { colors } from '../output.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[run]', 'id or its beginning; left out: the latest of this repository')
      .argument('[stage]', 'number or name; left out: all that do not run'),
  )
    .description('Why stages do not run: what each of them waits for.')
    .addHelpText('after', examples('gantry why', 'gantry why k3f7 deploy'))
    .action(async (run: string | undefined, stage: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.why({ run: await selectRun(run), stage: stage ?? '' });
          if (output.json) output.data(json(answer));
          else for (const line of whyLines(answer, output.color)) output.line(line);
          return exitCodes.done;
        }),
      );
    });
}

const json = (answer: WhyResponse__Output): object => ({
  run: answer.run ?? '',
  status: answer.status ?? '',
  stages: (answer.stages ?? []).map((stage) => ({
    stage: stage.stage ?? 0,
    title: stage.title ?? '',
    status: stage.status ?? '',
    reasons: stage.reasons ?? [],
  })),
});

export function whyLines(answer: WhyResponse__Output, color: boolean): readonly string[] {
  const paint = colors(color);
  const lines = [`run ${paint.bold((answer.run ?? '').slice(0, 8))}  ${answer.status ?? ''}`];
  for (const stage of answer.stages ?? []) {
    lines.push(`  ${paint.bold(printable(stage.title ?? ''))}  ${stage.status ?? ''}`);
    for (const reason of stage.reasons ?? []) lines.push(`    ${printable(reason)}`);
  }
  if ((answer.stages ?? []).length === 0) lines.push('  no stage waits');
  return lines;
}
