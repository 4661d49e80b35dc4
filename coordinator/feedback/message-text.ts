import { newsWords, sentenceOf, whatFailed } from './headline.js';
import {
  commandsOf,
  commitsTitle,
  factsOf,
  historyOf,
  listedCommits,
  moreCommits,
  type Fact,
} from './message-parts.js';
import type { FailedStage, Story } from './story.js';

/** The story as plain text for a mail; `because` ends the sentence "You are told because …". */
export function messageText(story: Story, because: string): string {
  const what = whatFailed(story);
  const blocks = [
    [`${newsWords[story.news].toUpperCase()}${what === '' ? '' : `: ${what}`}`, sentenceOf(story)],
    table([...factsOf(story), ...historyOf(story)]),
    ...(story.failure === null ? [] : [story.failure.lines.map((line) => `  ${line}`.trimEnd())]),
    ...story.failed.map(stageBlock),
    ...(story.moreFailed === 0 ? [] : [[`${story.moreFailed} more stages failed.`]]),
    ...(story.skipped === 0 || story.news === 'fixed' ? [] : [[`${story.skipped} stages did not run.`]]),
    commitsBlock(story),
    commandsBlock(story),
    ['-- ', `You are told because ${because}.`],
  ];
  return `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n')}\n`;
}

function stageBlock(stage: FailedStage): readonly string[] {
  const lines = [`${stage.title}: ${stage.reason}`];
  if (stage.isOurs) lines.push('  This is a failure of Gantry or its machines, not of the change.');
  if (stage.step !== null) lines.push(`  step ${stage.step.number}: ${stage.step.name}`);
  if (stage.agent !== null) lines.push(`  agent: ${stage.agent}`);
  const { log } = stage;
  if (log === null) return lines;
  if (log.missing !== null) lines.push(`  log: ${log.missing}`);
  if (log.lines.length > 0)
    lines.push('', ...(log.isCut ? ['  | …'] : []), ...log.lines.map((line) => `  | ${line}`));
  return lines;
}

function commitsBlock(story: Story): readonly string[] {
  if (story.commits.length === 0) return [];
  const more = moreCommits(story);
  return [
    `${commitsTitle(story)}:`,
    ...story.commits
      .slice(0, listedCommits)
      .map(({ commit, title, author }) => `  ${commit.slice(0, 12)}  ${title} (${author})`),
    ...(more === undefined ? [] : [`  ${more}`]),
  ];
}

function commandsBlock(story: Story): readonly string[] {
  const commands = commandsOf(story);
  const width = Math.max(...commands.map(({ command }) => command.length));
  return commands.map(({ command, says }) => `  ${command.padEnd(width)}   # ${says}`);
}

function table(facts: readonly Fact[]): readonly string[] {
  const width = Math.max(...facts.map(({ name }) => name.length));
  return facts.map(({ name, value }) => `  ${name.padEnd(width)}  ${value}`);
}
