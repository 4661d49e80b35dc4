/** What an environment is set to: as messages have it, and checked. */
import { defaultEnvironmentSettings, type EnvironmentSettings } from '../../shared/model/environment.js';
import { parseMailAddress } from '../../shared/model/mail-address.js';
import type { Project } from '../../shared/model/project.js';
import type {
  EnvironmentSettings as SettingsMessage,
  EnvironmentSettings__Output,
} from '../../shared/wire/gen/gantry/v1/EnvironmentSettings.js';
import type { ApprovalRule__Output } from '../../shared/wire/gen/gantry/v1/ApprovalRule.js';
import { wrongPattern } from '../pipeline/patterns.js';
import { ApiError } from './api-error.js';

type Approval = NonNullable<EnvironmentSettings['approval']>;

/** More of each is a mistake of some script. */
const mostItems = 100;
const longestName = 300;
const longestUrl = 2_000;
const longestCommand = 16 * 1024;

export function settingsMessage(settings: EnvironmentSettings): SettingsMessage {
  const { url, approval, branches, promotesFrom, differs, rollsBack, verify, notify } = settings;
  return {
    url: url ?? '',
    ...(approval === undefined
      ? {}
      : { approval: { approvers: [...approval.by], notAuthor: approval.notAuthor } }),
    branches: [...branches],
    promotesFrom: promotesFrom ?? '',
    differs: [...differs],
    rollsBack,
    verify: [...verify],
    notify: [...notify],
  };
}

/** Who may be named, and where the environment is. */
export interface SettingsPlace {
  readonly project: Pick<Project, 'name' | 'settings'>;
  /** As the directory spells it; undefined: there is no such user. */
  readonly userNamed: (name: string) => string | undefined;
}

/** `before` with what the request says. Throws invalid. */
export function changedSettings(
  before: EnvironmentSettings | undefined,
  message: EnvironmentSettings__Output | null | undefined,
  place: SettingsPlace,
): EnvironmentSettings {
  const was = before ?? defaultEnvironmentSettings;
  const said = message ?? {};
  const url = said.url ?? was.url ?? '';
  const promotesFrom = said.promotesFrom ?? was.promotesFrom ?? '';
  const approval = changedApproval(was.approval, said.approval, place);
  const settings: EnvironmentSettings = {
    ...(url === '' ? {} : { url: checkedUrl(url) }),
    ...(approval === undefined ? {} : { approval }),
    branches: said.setBranches === true ? distinct(said.branches) : was.branches,
    ...(promotesFrom === '' ? {} : { promotesFrom }),
    differs: said.setDiffers === true ? distinct(said.differs) : was.differs,
    rollsBack: said.rollsBack ?? was.rollsBack,
    verify: said.setVerify === true ? (said.verify ?? []) : was.verify,
    notify: said.setNotify === true ? distinct(said.notify).map(canonicalTarget) : was.notify,
  };
  check(settings, place);
  return settings;
}

function changedApproval(
  was: Approval | undefined,
  said: ApprovalRule__Output | null | undefined,
  { userNamed }: SettingsPlace,
): Approval | undefined {
  if (said === null || said === undefined) return was;
  if (said.none === true) return undefined;
  const by = said.setApprovers === true ? distinct(said.approvers) : (was?.by ?? []);
  return {
    by: by.map((name) => {
      const known = userNamed(name);
      if (known !== undefined) return known;
      throw wrong(
        `approver ${JSON.stringify(name)}: there is no such user, so nobody could approve: \`gantry users add\` them first`,
      );
    }),
    notAuthor: said.notAuthor ?? was?.notAuthor ?? false,
  };
}

const distinct = (items: readonly string[] = []): readonly string[] => [...new Set(items)];

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    text.length > longestUrl ||
    /[\s\p{C}]/u.test(text)
  ) {
    throw wrong(`URL ${JSON.stringify(text)}: expected one that begins with https:// or http://`);
  }
  if (url.username !== '' || url.password !== '') {
    throw wrong(
      'the URL has a user or password in it: everybody sees it; make that a secret of the environment',
    );
  }
  return text;
}

function check({ branches, differs, verify, notify }: EnvironmentSettings, { project }: SettingsPlace): void {
  for (const [what, items] of Object.entries({ branches, differs, verify, notify })) {
    if (items.length > mostItems) throw wrong(`${what}: ${items.length} of them, at most ${mostItems}`);
  }
  for (const branch of branches) {
    const problem = wrongPattern(branch, 'refs');
    if (problem !== undefined) throw wrong(`branch ${JSON.stringify(branch)}: ${problem.message}`);
  }
  const name = differs.find((text) => text.trim() === '' || text.length > longestName);
  if (name !== undefined) {
    throw wrong(
      `differs ${JSON.stringify(name.slice(0, longestName))}: expected names of variables, secrets, steps, artifacts and images`,
    );
  }
  const command = verify.find((text) => text.trim() === '' || text.length > longestCommand);
  if (command !== undefined) {
    throw wrong(`verify ${JSON.stringify(command.slice(0, 80))}: expected a command of at most 16 KiB`);
  }
  for (const target of notify) checkTarget(target, project);
}

const webhookPrefix = 'webhook:';

/** As mail compares them. */
const canonicalTarget = (target: string): string => parseMailAddress(target) ?? target;

function checkTarget(target: string, project: SettingsPlace['project']): void {
  if (!target.startsWith(webhookPrefix)) {
    if (parseMailAddress(target) !== undefined) return;
    throw wrong(`notify ${JSON.stringify(target)}: expected a mail address, or a webhook as webhook:NAME`);
  }
  const name = target.slice(webhookPrefix.length);
  if (project.settings.webhooks.some((webhook) => webhook.name === name)) return;
  throw wrong(
    `notify ${JSON.stringify(target)}: project ${project.name} has no such webhook: \`gantry projects set --webhook ${name}=URL\``,
  );
}

const wrong = (message: string): ApiError => new ApiError('invalid', message);
