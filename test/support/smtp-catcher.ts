/** A real SMTP server on loopback that keeps what it is sent, and answers as the test says. */
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

export interface CaughtMail {
  /** As the envelope has it. */
  readonly from: string;
  readonly to: readonly string[];
  /** As sent, with CRLF. */
  readonly raw: string;
  /** Names in lower case, values unfolded and decoded; repeated ones in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly text: string;
  readonly html: string;
  readonly wasEncrypted: boolean;
}

/** What a recipient is answered: nothing takes it. 4xx: later, 5xx: never. */
export type SmtpAnswer = { readonly code: number; readonly message: string } | undefined;

export interface SmtpCatcherOptions {
  /** 0, or absent: a free one. */
  readonly port?: number;
  readonly credentials?: { readonly user: string; readonly password: string };
  /** PEM. Absent: it offers no STARTTLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export class SmtpCatcher {
  /** Users that passwords were sent for. */
  readonly logins: string[] = [];
  readonly mails: CaughtMail[] = [];
  /** Recipients asked for, taken or not. */
  readonly asked: string[] = [];
  answer: (to: string) => SmtpAnswer = () => undefined;
  readonly #server: SMTPServer;

  private constructor({ credentials, tls }: SmtpCatcherOptions) {
    this.#server = new SMTPServer({
      authOptional: credentials === undefined,
      // It is tested that a password is not sent; the server would take it.
      allowInsecureAuth: true,
      ...(tls ?? { disabledCommands: ['STARTTLS'] }),
      disableReverseLookup: true,
      onAuth: (auth, _session, callback) => {
        this.logins.push(auth.username ?? '');
        const isRight = auth.username === credentials?.user && auth.password === credentials?.password;
        if (isRight) callback(null, { user: auth.username ?? '' });
        else callback(new Error('wrong user or password'));
      },
      onRcptTo: ({ address }, _session, callback) => {
        this.asked.push(address);
        const answer = this.answer(address);
        callback(
          answer === undefined
            ? null
            : Object.assign(new Error(answer.message), { responseCode: answer.code }),
        );
      },
      onData: (stream, session, callback) => {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          const { mailFrom, rcptTo } = session.envelope;
          this.mails.push({
            from: mailFrom === false ? '' : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            wasEncrypted: session.secure,
            ...readMail(Buffer.concat(chunks).toString('latin1')),
          });
          callback(null, 'kept');
        });
      },
    });
    this.#server.on('error', () => undefined); // a client that goes away in the middle
  }

  static async start(options: SmtpCatcherOptions = {}): Promise<SmtpCatcher> {
    const catcher = new SmtpCatcher(options);
    await new Promise<void>((resolve, reject) => {
      catcher.#server.once('error', reject);
      catcher.#server.listen(options.port ?? 0, '127.0.0.1', resolve);
    });
    return catcher;
  }

  get port(): number {
    // Listening on TCP.
    return (this.#server.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `smtp://127.0.0.1:${this.port}`;
  }

  to(address: string): readonly CaughtMail[] {
    return this.mails.filter((mail) => mail.to.includes(address));
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

interface Part {
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

function readMail(raw: string): Pick<CaughtMail, 'raw' | 'headers' | 'text' | 'html'> {
  const whole = partOf(raw);
  const leaves = leavesOf(whole);
  const content = (type: string): string => {
    const leaf = leaves.find(({ headers }) => headers.get('content-type')?.[0]?.startsWith(type) === true);
    return leaf === undefined ? '' : decodedBody(leaf).toString('utf8').replaceAll('\r\n', '\n');
  };
  return { raw, headers: whole.headers, text: content('text/plain'), html: content('text/html') };
}

function partOf(raw: string): Part {
  const end = raw.indexOf('\r\n\r\n');
  const lines = raw
    .slice(0, end)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), decodedWords(line.slice(colon + 1).trim())]);
  }
  return { headers, body: raw.slice(end + 4) };
}

function leavesOf(part: Part): readonly Part[] {
  const boundary = /boundary="?([^";]+)"?/.exec(part.headers.get('content-type')?.[0] ?? '')?.[1];
  if (boundary === undefined) return [part];
  return `\r\n${part.body}`
    .split(`\r\n--${boundary}`)
    .slice(1, -1)
    .flatMap((text) => leavesOf(partOf(text.replace(/^\r\n/, ''))));
}

function decodedBody({ headers, body }: Part): Buffer {
  const encoding = headers.get('content-transfer-encoding')?.[0]?.toLowerCase();
  if (encoding === 'base64') return Buffer.from(body, 'base64');
  if (encoding === 'quoted-printable') return fromQuoted(body.replaceAll('=\r\n', ''));
  return Buffer.from(body, 'latin1');
}

const fromQuoted = (text: string): Buffer =>
  Buffer.from(
    text.replaceAll(/=([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );

/** RFC 2047: `=?UTF-8?Q?…?=`; white space between two of them counts for nothing. */
function decodedWords(text: string): string {
  return text
    .replaceAll(/(\?=)\s+(=\?)/g, '$1$2')
    .replaceAll(/(?:=\?utf-8\?[bq]\?[^?]*\?=)+/gi, (words) =>
      Buffer.concat(
        [...words.matchAll(/=\?utf-8\?([bq])\?([^?]*)\?=/gi)].map(([, kind = '', word = '']) =>
          kind.toLowerCase() === 'b' ? Buffer.from(word, 'base64') : fromQuoted(word.replaceAll('_', ' ')),
        ),
      ).toString('utf8'),
    );
}
