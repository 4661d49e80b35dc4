/** News in a few blocks of text: as mail in a plain frame, and as JSON. Pure. */
import { createHash } from 'node:crypto';
import { escapeHtml } from './message-html.js';
import { targetKey } from './target.js';
import type { Tellable } from './tellable.js';

export interface FramedNews {
  /** With `identity` it names the news for good: `gate`, `delivery`. */
  readonly about: string;
  readonly identity: string;
  /** For filters of mail: `ejected`, `deployment-unknown`. */
  readonly news: string;
  readonly subject: string;
  readonly headline: string;
  /** Of the headline, in CSS. */
  readonly color: string;
  readonly sentence: string;
  /** Below them; empty ones are left out. */
  readonly blocks: readonly (readonly string[])[];
  readonly body: (delivery: string) => unknown;
}

export function framedTellable(news: FramedNews): Tellable {
  const deliveryTo = (target: string): string =>
    createHash('sha256')
      .update(JSON.stringify([news.about, news.identity, target]))
      .digest('hex')
      .slice(0, 32);
  return {
    deliveryTo,
    mailFor: (target) => {
      const id = deliveryTo(targetKey(target));
      const rest = [...news.blocks, ['-- ', `You are told because ${target.because}.`]]
        .filter((lines) => lines.length > 0)
        .map((lines) => lines.join('\n'))
        .join('\n\n');
      return {
        to: target.address,
        subject: news.subject,
        text: `${news.headline}\n${news.sentence}\n\n${rest}\n`,
        html: htmlOf(news, rest),
        id,
        headers: { 'X-Gantry-News': news.news, 'X-Gantry-Delivery': id },
      };
    },
    webhookBody: (delivery) => JSON.stringify(news.body(delivery)),
  };
}

/** Two columns, indented, the second ones below each other. */
export function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`);
}

/** No image, link, script or style sheet: the text as it is, in a frame. */
const htmlOf = ({ headline, sentence, color }: FramedNews, rest: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>
<body style="margin:0;padding:24px 12px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px">
<div style="font-size:20px;font-weight:600;color:${color};overflow-wrap:anywhere">${escapeHtml(headline)}</div>
<p style="overflow-wrap:anywhere">${escapeHtml(sentence)}</p>
<pre style="font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere">${escapeHtml(rest)}</pre>
</body></html>
`;
