/** `on`: which pushes and changes start a run. */
import { enoughWork, PatternList, Work } from './patterns.js';
import type { RunConditions } from './run-conditions.js';
import { either, quoted } from './words.js';

/** `manual` says that nothing else does. */
export const triggerEvents = ['push', 'change', 'tag', 'manual'] as const;
export type TriggerEvent = (typeof triggerEvents)[number];

export interface TriggerRules {
  readonly events: readonly TriggerEvent[];
  /** Of pushes the branch, of changes the one they are to land on. Absent: all. */
  readonly branches?: readonly string[];
  readonly tags?: readonly string[];
  /** Some changed path must match. Absent: all. Not asked of tags. */
  readonly paths?: readonly string[];
}

/** Without `on`: every push and change, no tags. */
export const defaultTriggers: TriggerRules = { events: ['push', 'change'] };

/**
 * Why the rules want no run, in a sentence; undefined: they want one. Runs that somebody or the gate asks for are
 * always wanted, and paths that are not known match.
 */
export function whyNoRun(
  on: TriggerRules,
  push: Pick<RunConditions, 'event' | 'branch' | 'target' | 'tag' | 'changed'>,
): string | undefined {
  const work = new Work(enoughWork);
  switch (push.event) {
    case 'push':
      return (
        unlistedEvent(on, 'push') ?? otherBranch(on, push.branch, work) ?? otherPaths(on, push.changed, work)
      );
    case 'change': {
      const branch = push.target ?? push.branch;
      return (
        unlistedEvent(on, 'change') ?? otherBranch(on, branch, work) ?? otherPaths(on, push.changed, work)
      );
    }
    case 'tag': {
      const { tag = '' } = push;
      const unlisted = unlistedEvent(on, 'tag');
      if (unlisted !== undefined || on.tags === undefined) return unlisted;
      if (new PatternList(on.tags, 'refs').matches(tag, work)) return undefined;
      return `tag ${quoted(tag)} does not match ${listed(on.tags)} (\`tags\` of \`on\`)`;
    }
    case 'gate':
    case 'schedule':
    case 'manual':
    case 'submit':
      return undefined;
  }
}

/** `pushes and changes to main, release/*; tags v*`, for people. */
export function describeTriggers({ events, branches, tags, paths }: TriggerRules): string {
  const code = (['push', 'change'] as const).filter((event) => events.includes(event));
  const what = code.map((event) => (event === 'push' ? 'pushes' : 'changes')).join(' and ');
  const where = branches === undefined ? 'all branches' : listed(branches);
  const which = paths === undefined ? '' : `, of paths ${listed(paths)}`;
  const parts = [
    ...(code.length === 0 ? [] : [`${what} to ${where}${which}`]),
    ...(events.includes('tag') ? [tags === undefined ? 'all tags' : `tags ${listed(tags)}`] : []),
  ];
  return parts.length === 0 ? 'nothing but people' : parts.join('; ');
}

const names = {
  push: 'pushes to branches',
  change: 'changes',
  tag: 'tags',
  manual: 'runs that people start',
};

function unlistedEvent({ events }: TriggerRules, event: TriggerEvent): string | undefined {
  if (events.includes(event)) return undefined;
  const wanted = events.map((one) => names[one]);
  return `the pipeline is not for ${names[event]}: \`on\` is ${wanted.length === 0 ? 'empty' : either(wanted)}`;
}

function otherBranch({ branches }: TriggerRules, branch: string | undefined, work: Work): string | undefined {
  if (branches === undefined || branch === undefined) return undefined;
  if (new PatternList(branches, 'refs').matches(branch, work)) return undefined;
  return `branch ${quoted(branch)} does not match ${listed(branches)} (\`branches\` of \`on\`)`;
}

function otherPaths(
  { paths }: TriggerRules,
  changed: readonly string[] | undefined,
  work: Work,
): string | undefined {
  if (paths === undefined || changed === undefined) return undefined;
  const list = new PatternList(paths, 'paths');
  if (changed.some((path) => list.matches(path, work))) return undefined;
  if (changed.length === 0) return 'it changes no files, and `on` has `paths`';
  const what =
    changed.length === 1
      ? `the changed path ${quoted(changed[0] ?? '')} does not match`
      : `none of ${changed.length} changed paths matches`;
  return `${what} ${listed(paths)} (\`paths\` of \`on\`)`;
}

const listed = (patterns: readonly string[]): string =>
  patterns.length <= 5
    ? patterns.join(', ')
    : `${patterns.slice(0, 4).join(', ')} and ${patterns.length - 4} more`;
