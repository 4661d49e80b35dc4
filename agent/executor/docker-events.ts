/** What a daemon tells while it builds, pulls and pushes: a JSON object a line. Pure but for the stream that is read. */

export interface DaemonEvent {
  /** Output of a build, as it was written. */
  readonly stream?: string;
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  /** Comes in an answer that began as a success. */
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
  /** Of a build the image's id, of a push its digest. */
  readonly aux?: { readonly ID?: string; readonly Tag?: string; readonly Digest?: string };
}

/** A line of a daemon is a few hundred bytes; a build's output comes in pieces of at most 32 KiB. */
const maxLineBytes = 16 * 1024 * 1024;

export async function* daemonEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<DaemonEvent, void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a, start)) {
      const event = eventOf(rest.subarray(start, end));
      start = end + 1;
      if (event !== undefined) yield event;
    }
    rest = rest.subarray(start);
    if (rest.length > maxLineBytes) throw new Error('the daemon told something without an end');
  }
  const last = eventOf(rest);
  if (last !== undefined) yield last;
}

function eventOf(line: Buffer): DaemonEvent | undefined {
  const text = line.toString('utf8').trim();
  if (text === '') return undefined;
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null ? value : undefined;
}

/** Told again and again while bytes move: progress, not log. */
const ticks = /^(?:Downloading|Extracting|Pushing|Preparing|Waiting|Verifying Checksum|Download complete)$/;

/** What of an event belongs into a log; empty: nothing. */
export function logText({ stream, status, id, error }: DaemonEvent): string {
  if (stream !== undefined) return stream;
  if (error !== undefined) return error.endsWith('\n') ? error : `${error}\n`;
  if (status === undefined || ticks.test(status)) return '';
  return id === undefined || id === '' ? `${status}\n` : `${id}: ${status}\n`;
}

/** `Step 2/3`, for people who look what a build does. */
export const buildActivity = ({ stream }: DaemonEvent): string | undefined => {
  const step = /^Step (\d+)\/(\d+) : (.{0,80})/.exec(stream ?? '');
  return step === null
    ? undefined
    : `building: step ${step[1] ?? ''} of ${step[2] ?? ''}, ${step[3]?.trim() ?? ''}`;
};
