/** POSTs JSON, signed. The format is described for receivers in the README. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { rootCertificates } from 'node:tls';
import { printable } from '../../shared/text/terminal-text.js';
import { gantryVersion } from '../../shared/version.js';
import { signatureHeaders, signMessage } from '../../shared/webhook-signature.js';
import type { Deliverer, Outcome, WebhookMessage } from './deliverer.js';
import { short } from './headline.js';
import { webhookUrlProblem } from './webhook-url.js';

export interface WebhookOptions {
  /** Of the whole exchange. */
  readonly timeoutMs: number;
  /** Authority of receivers' certificates beside the well-known ones, PEM. */
  readonly ca?: string;
  readonly wallMs: () => number;
}

/** Of an answer, for the message; the rest is not read. */
const maxAnswerBytes = 1024;

export function webhookDeliverer(options: WebhookOptions): Deliverer<WebhookMessage> {
  return {
    async deliver(message, signal) {
      const problem = webhookUrlProblem(message.url);
      if (problem !== undefined) return { kind: 'refused', message: printable(problem) };
      const timeout = AbortSignal.timeout(options.timeoutMs);
      try {
        const answer = await post(message, options, AbortSignal.any([signal, timeout]));
        return outcomeOf(answer);
      } catch (error) {
        signal.throwIfAborted();
        if (timeout.aborted)
          return { kind: 'failed', message: `no answer within ${options.timeoutMs / 1000} s` };
        return { kind: 'failed', message: line(error instanceof Error ? error.message : String(error)) };
      }
    },
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function post(message: WebhookMessage, options: WebhookOptions, signal: AbortSignal): Promise<Answer> {
  const { body, secret, id } = message;
  const url = new URL(message.url);
  const timestamp = Math.floor(options.wallMs() / 1000);
  const settings = {
    method: 'POST',
    signal,
    // A connection of its own: a kept one may be closed by the receiver just when it is used.
    agent: false as const,
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      'User-Agent': `gantry/${gantryVersion()}`,
      [signatureHeaders.delivery]: id,
      [signatureHeaders.timestamp]: String(timestamp),
      [signatureHeaders.signature]: signMessage(secret, { timestamp, delivery: id, body }),
    },
    ...(options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] }),
  };
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(url, settings, (response) => {
      beginningOf(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, text }),
        // The status is the answer; a body that breaks off changes nothing.
        () => resolve({ status: response.statusCode ?? 0, text: '' }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    // A stream without an encoding gives Buffers.
    const buffer = chunk as Buffer;
    chunks.push(buffer);
    bytes += buffer.length;
    if (bytes >= maxAnswerBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxAnswerBytes).toString();
}

function outcomeOf({ status, text }: Answer): Outcome {
  const said = line(text);
  const message = said === '' ? `answered ${status}` : `answered ${status}: ${said}`;
  if (status >= 200 && status < 300) return { kind: 'delivered', message: `answered ${status}` };
  if (status >= 300 && status < 400) {
    return {
      kind: 'refused',
      message: `answered ${status}: redirects are not followed, give the webhook its final URL`,
    };
  }
  const mayPass = status < 400 || status >= 500 || status === 408 || status === 425 || status === 429;
  return { kind: mayPass ? 'failed' : 'refused', message };
}

const line = (text: string): string => short(printable(text).trim(), 200);
