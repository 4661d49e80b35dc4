/**
 * The story as HTML for a mail: tables and inline styles, because that is what mail programs agree on; no image, link, script
 * or style sheet, so that nothing is fetched and nothing of a stranger's text becomes one.
 */
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

const sans = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const mono = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace";
const muted = 'color:#57606a';
const red = '#b42318';
const green = '#1a7f37';

export function messageHtml(story: Story, because: string): string {
  const color = story.news === 'fixed' ? green : red;
  const what = whatFailed(story);
  const parts = [
    heading(`${newsWords[story.news]}${what === '' ? '' : `: ${what}`}`, sentenceOf(story), color),
    section(factTable([...factsOf(story), ...historyOf(story)])),
    story.failure === null ? '' : section(box(story.failure.lines)),
    ...story.failed.map((stage) => section(stagePart(stage))),
    story.moreFailed === 0 ? '' : section(paragraph(`${story.moreFailed} more stages failed.`)),
    story.skipped === 0 || story.news === 'fixed'
      ? ''
      : section(paragraph(`${story.skipped} stages did not run.`)),
    story.commits.length === 0 ? '' : section(commitsPart(story)),
    section(commandsPart(story)),
    `<tr><td style="padding:16px 24px;border-top:1px solid #d0d7de;font-size:12px;${muted}">You are told because ${escapeHtml(because)}.</td></tr>`,
  ];
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light"></head>
<body style="margin:0;padding:24px 12px;background:#f6f8fa;${sans};font-size:14px;line-height:1.5;color:#1f2328">
<table role="presentation" cellspacing="0" cellpadding="0" border="0" align="center" style="width:100%;max-width:720px;table-layout:fixed;background:#ffffff;border:1px solid #d0d7de;border-top:4px solid ${color};border-radius:6px">
${parts.filter((part) => part !== '').join('\n')}
</table>
</body>
</html>
`;
}

/** For text and for attribute values in double quotes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

const heading = (title: string, sentence: string, color: string): string =>
  `<tr><td style="padding:20px 24px 4px"><div style="font-size:20px;font-weight:600;line-height:1.3;color:${color};overflow-wrap:anywhere">${escapeHtml(capital(title))}</div><div style="padding-top:4px;overflow-wrap:anywhere">${escapeHtml(sentence)}</div></td></tr>`;

const section = (content: string): string => `<tr><td style="padding:12px 24px">${content}</td></tr>`;

const paragraph = (text: string): string => `<div>${escapeHtml(text)}</div>`;

const label = (text: string): string =>
  `<div style="padding-bottom:6px;font-weight:600">${escapeHtml(text)}</div>`;

function factTable(facts: readonly Fact[]): string {
  const rows = facts.map(
    ({ name, value }) =>
      `<tr><td style="padding:2px 16px 2px 0;vertical-align:top;white-space:nowrap;width:110px;${muted}">${escapeHtml(name)}</td><td style="padding:2px 0;overflow-wrap:anywhere">${escapeHtml(value)}</td></tr>`,
  );
  return `<table role="presentation" cellspacing="0" cellpadding="0" border="0" style="width:100%;font-size:14px">${rows.join('')}</table>`;
}

function stagePart(stage: FailedStage): string {
  const facts: Fact[] = [];
  if (stage.step !== null) facts.push({ name: `step ${stage.step.number}`, value: stage.step.name });
  if (stage.agent !== null) facts.push({ name: 'agent', value: stage.agent });
  if (stage.log?.missing != null) facts.push({ name: 'log', value: stage.log.missing });
  const lines =
    stage.log === null || stage.log.lines.length === 0
      ? []
      : [...(stage.log.isCut ? ['…'] : []), ...stage.log.lines];
  return [
    `<div style="font-weight:600;overflow-wrap:anywhere">${escapeHtml(stage.title)}</div>`,
    `<div style="padding-bottom:6px;color:${red};overflow-wrap:anywhere">${escapeHtml(stage.reason)}</div>`,
    stage.isOurs ? paragraph('This is a failure of Gantry or its machines, not of the change.') : '',
    facts.length === 0 ? '' : factTable(facts),
    lines.length === 0 ? '' : `<div style="padding-top:8px">${box(lines)}</div>`,
  ].join('');
}

const box = (lines: readonly string[]): string =>
  `<pre style="margin:0;padding:12px 14px;background:#1f2328;color:#e6edf3;border-radius:6px;${mono};font-size:12px;line-height:1.45;white-space:pre-wrap;overflow-wrap:anywhere">${lines.map(escapeHtml).join('\n')}</pre>`;

function commitsPart(story: Story): string {
  const rows = story.commits
    .slice(0, listedCommits)
    .map(
      ({ commit, title, author }) =>
        `<tr><td style="padding:2px 14px 2px 0;vertical-align:baseline;white-space:nowrap;width:110px;${mono};font-size:12px;${muted}">${escapeHtml(commit.slice(0, 12))}</td><td style="padding:2px 0;overflow-wrap:anywhere">${escapeHtml(title)} <span style="${muted}">${escapeHtml(author)}</span></td></tr>`,
    );
  const more = moreCommits(story);
  return `${label(commitsTitle(story))}<table role="presentation" cellspacing="0" cellpadding="0" border="0" style="width:100%;font-size:14px">${rows.join('')}</table>${more === undefined ? '' : `<div style="${muted}">${escapeHtml(more)}</div>`}`;
}

function commandsPart(story: Story): string {
  const rows = commandsOf(story).map(
    ({ command, says }) =>
      `<tr><td style="padding:2px 14px 2px 0;vertical-align:baseline;${mono};font-size:12px;overflow-wrap:anywhere">${escapeHtml(command)}</td><td style="padding:2px 0;vertical-align:baseline;${muted}">${escapeHtml(says)}</td></tr>`,
  );
  return `${label('Look closer')}<table role="presentation" cellspacing="0" cellpadding="0" border="0" style="font-size:14px">${rows.join('')}</table>`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
