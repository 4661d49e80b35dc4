/** What a story is in a few words: for a subject, a heading, a preview. */
import type { NewsKind } from '../../shared/model/project.js';
import type { Story } from './story.js';

export const newsWords: Readonly<Record<NewsKind, string>> = {
  failed: 'failed',
  'still-failing': 'still failing',
  fixed: 'fixed',
};

const maxSubject = 180;

/** `[gantry] app main: failed: test (python=3.12) – "Fix the parser"` */
export function subjectOf(story: Story): string {
  const what = whatFailed(story);
  const words = what === '' ? newsWords[story.news] : `${newsWords[story.news]}: ${what}`;
  const subject = `[gantry] ${story.project.short}${placeOf(story)}: ${words} – "${short(story.title, 80)}"`;
  return short(subject, maxSubject);
}

/** ` main`, ` v1.2 (tag)`; empty without either. */
function placeOf({ branch, tag }: Story): string {
  if (tag !== null) return ` ${short(tag, 40)} (tag)`;
  return branch === null ? '' : ` ${short(branch, 40)}`;
}

/** Which stages; empty for what is fixed. */
export function whatFailed({ news, failed, moreFailed, failure }: Story): string {
  if (news === 'fixed') return '';
  if (failure !== null)
    return failure.kind === 'invalid-pipeline' ? 'the pipeline is invalid' : 'it could not begin';
  const [first, ...others] = failed;
  if (first === undefined) return '';
  const more = others.length + moreFailed;
  return more === 0 ? short(first.title, 60) : `${short(first.title, 60)} and ${more} more`;
}

/** How the branch fares, beside what the headline says. */
export function sentenceOf(story: Story): string {
  const { news, failing } = story;
  const where =
    story.tag !== null ? `tag ${story.tag}` : (story.branch ?? `commit ${story.commit.slice(0, 12)}`);
  if (news === 'fixed') return `${where} is green again.`;
  if (failing === null) return `A run of ${where} failed.`;
  if (news === 'still-failing')
    return `${where} has been failing since commit ${failing.since.commit.slice(0, 12)}.`;
  return failing.lastGreen === undefined
    ? `${where} has never been green.`
    : `${where} was green before this run.`;
}

export function short(text: string, max: number): string {
  const chars = Array.from(text);
  return chars.length <= max ? text : `${chars.slice(0, max - 1).join('')}…`;
}
