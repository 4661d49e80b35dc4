import { inspect } from 'node:util';

/**
 * A URL that is a permission: whoever holds it may do what it says until it expires. It prints without its query, so
 * that a log line, an error or a JSON dump never gives the permission away; `reveal` is the one way to the whole.
 */
export class PresignedUrl {
  /** As the signer wrote it: a parsed URL would fold `..` in a key and change characters, and the signature with them. */
  readonly #text: string;
  readonly #url: URL;

  /** Throws a `TypeError` for what is no http or https URL; the message does not repeat the text. */
  constructor(text: string) {
    if (!URL.canParse(text) || !/^https?:\/\/[^/?#]+\/[^#\s]*$/.test(text)) {
      throw new TypeError('not a presigned URL: it is no http or https URL with a path');
    }
    this.#text = text;
    this.#url = new URL(text);
  }

  /** The whole URL. Only for the request itself and for messages to the process that shall use it. */
  reveal(): string {
    return this.#text;
  }

  /** What an HTTP client needs. `path` holds the permission. */
  target(): {
    readonly secure: boolean;
    readonly host: string;
    readonly port: number;
    readonly path: string;
  } {
    const secure = this.#url.protocol === 'https:';
    return {
      secure,
      // Brackets belong to IPv6 addresses in URLs only.
      host: this.#url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#url.port === '' ? (secure ? 443 : 80) : Number(this.#url.port),
      path: this.#text.slice(this.#text.indexOf('/', 'https://'.length)),
    };
  }

  /** Scheme, host and path: enough to find out which server and object were meant. */
  toString(): string {
    return this.#text.replace(/\?.*$/s, '');
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return `PresignedUrl(${this.toString()})`;
  }
}
