/** Flags that say what an environment is like, the same for `add` and `set`. */
import type { Command } from 'commander';
import type { ApprovalRule } from '../../../shared/wire/gen/gantry/v1/ApprovalRule.js';
import type { EnvironmentSettings } from '../../../shared/wire/gen/gantry/v1/EnvironmentSettings.js';
import { CliError } from '../cli-error.js';
import { collect } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import type { ClientFlags } from '../session.js';

export interface SettingsFlags extends ClientFlags {
  readonly url?: string;
  readonly approval?: boolean;
  readonly approvers?: string;
  readonly notAuthor?: boolean;
  readonly branches?: string;
  readonly promotesFrom?: string;
  readonly differs?: string;
  readonly rollsBack?: boolean;
  readonly verify?: readonly string[];
  readonly notify?: readonly string[];
}

export function addSettingsOptions(command: Command): Command {
  return command
    .option('--url <url>', 'where it is: shown, and given to its steps as GANTRY_ENVIRONMENT_URL; "": none')
    .option('--approval', 'somebody approves each deployment: continuous delivery')
    .option('--no-approval', 'what is green goes there by itself: continuous deployment')
    .option('--approvers <users>', 'who may approve, with commas: ann,bob; "": any admin')
    .option('--not-author', 'nobody approves what they submitted, landed or wrote')
    .option('--no-not-author', 'authors may approve too')
    .option(
      '--branches <patterns>',
      'it takes deployments of these branches only, with commas: main,release/**; "**": any, and tags; "": the default branch',
    )
    .option(
      '--promotes-from <environment>',
      'it takes only what that one has verified, the same artifacts and images; "": anything',
    )
    .option(
      '--differs <names>',
      'variables, secrets, steps, artifacts and images that may differ from other environments, with commas; "": none',
    )
    .option('--rolls-back', 'a deployment whose verify fails is rolled back by itself')
    .option('--no-rolls-back', 'it stays, and somebody decides')
    .option(
      '--verify <command>',
      'run after each deployment, behind the verify of its stage; repeatable; "": none',
      collect,
    )
    .option(
      '--notify <target>',
      'whom deployments are told: a mail address, or webhook:NAME of the project; repeatable; "": nobody',
      collect,
    );
}

/** What the flags say; the rest is left as it is. Throws `CliError` for flags that contradict each other. */
export function settingsFrom(flags: SettingsFlags): EnvironmentSettings {
  const { url, branches, promotesFrom, differs, rollsBack, verify, notify } = flags;
  const approval = approvalFrom(flags);
  return {
    ...(url === undefined ? {} : { url }),
    ...(approval === undefined ? {} : { approval }),
    ...(branches === undefined ? {} : { setBranches: true, branches: listFrom(branches) }),
    ...(promotesFrom === undefined ? {} : { promotesFrom }),
    ...(differs === undefined ? {} : { setDiffers: true, differs: listFrom(differs) }),
    ...(rollsBack === undefined ? {} : { rollsBack }),
    ...(verify === undefined ? {} : { setVerify: true, verify: given(verify) }),
    ...(notify === undefined ? {} : { setNotify: true, notify: given(notify) }),
  };
}

function approvalFrom({ approval, approvers, notAuthor }: SettingsFlags): ApprovalRule | undefined {
  if (approval === false) {
    if (approvers === undefined && notAuthor !== true) return { none: true };
    throw new CliError(
      exitCodes.usage,
      '--no-approval says that nobody approves: leave out --approvers and --not-author',
    );
  }
  if (approval === undefined && approvers === undefined && notAuthor === undefined) return undefined;
  return {
    ...(approvers === undefined ? {} : { setApprovers: true, approvers: listFrom(approvers) }),
    ...(notAuthor === undefined ? {} : { notAuthor }),
  };
}

/** Commas in braces belong to a pattern: `{main,release/**}`. */
function listFrom(text: string): string[] {
  const items: string[] = [''];
  let depth = 0;
  for (const char of text) {
    if (char === '{') depth += 1;
    if (char === '}') depth -= 1;
    if (char === ',' && depth === 0) items.push('');
    else items.push(`${items.pop() ?? ''}${char}`);
  }
  return given(items.map((item) => item.trim()));
}

const given = (texts: readonly string[]): string[] => texts.filter((text) => text !== '');
