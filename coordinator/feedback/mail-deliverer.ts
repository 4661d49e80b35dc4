/** Mail by SMTP, with nodemailer: one connection per message, so that one that hangs holds up no other. */
import { rootCertificates } from 'node:tls';
import { createTransport } from 'nodemailer';
import { domainOfMail, type MailAddress } from '../../shared/model/mail-address.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { Deliverer, MailMessage, Outcome } from './deliverer.js';
import { short } from './headline.js';
import type { SmtpServer } from './smtp-url.js';

export interface MailOptions {
  readonly server: SmtpServer;
  readonly from: MailAddress;
  /** Authority of the server's certificate beside the well-known ones, PEM. */
  readonly ca?: string;
  /** Of each silence of the server. */
  readonly timeoutMs: number;
  /** Of the whole exchange: a server may answer one byte at a time. */
  readonly totalMs: number;
}

export function mailDeliverer(options: MailOptions): Deliverer<MailMessage> {
  const { server, from, ca, timeoutMs, totalMs } = options;
  const messageId = (id: string): string => `<${id}@${domainOfMail(from)}>`;
  const transport = createTransport({
    host: server.host,
    port: server.port,
    secure: server.implicitTls,
    // A password does not cross a network in the clear; without one, TLS is used where it is offered.
    requireTLS: server.auth !== undefined && !server.implicitTls && !server.isLocal,
    ...(server.auth === undefined ? {} : { auth: { user: server.auth.user, pass: server.auth.password } }),
    tls: {
      rejectUnauthorized: !server.isLocal,
      ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    },
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs,
    // Nothing of a message may name a file or a URL that is then read into it.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async deliver(message, signal) {
      signal.throwIfAborted();
      const tooLong = AbortSignal.timeout(totalMs);
      try {
        const info = await transport.sendMail({
          // Aborted, it closes the connection.
          signal: AbortSignal.any([signal, tooLong]),
          from: { name: 'Gantry', address: from },
          to: { name: '', address: message.to },
          envelope: { from, to: [message.to] },
          subject: message.subject,
          text: message.text,
          html: message.html,
          messageId: messageId(message.id),
          ...(message.inReplyTo === undefined
            ? {}
            : { inReplyTo: messageId(message.inReplyTo), references: [messageId(message.inReplyTo)] }),
          // RFC 3834: out-of-office replies answer none of these.
          headers: { 'Auto-Submitted': 'auto-generated', ...message.headers },
          // Never quoted-printable of a hundred soft breaks in a log, never 8bit to a server that knows none.
          textEncoding: 'base64',
        });
        return { kind: 'delivered', message: line(info.response) };
      } catch (error) {
        signal.throwIfAborted();
        if (tooLong.aborted)
          return { kind: 'failed', message: `the server took more than ${totalMs / 1000} s for one mail` };
        return outcomeOf(error);
      }
    },
  };
}

/**
 * 5xx to the recipient or to the message itself is final. Anything else may be mended: the server, its name, its password, a
 * mailbox that is full.
 */
function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof Error)) return { kind: 'failed', message: line(String(error)) };
  const code = 'responseCode' in error ? error.responseCode : undefined;
  const command = 'command' in error ? error.command : undefined;
  const response = 'response' in error && typeof error.response === 'string' ? error.response : error.message;
  const isOfMessage = command === 'RCPT TO' || command === 'DATA';
  const isFinal = isOfMessage && typeof code === 'number' && code >= 500;
  return { kind: isFinal ? 'refused' : 'failed', message: line(response) };
}

const line = (text: string): string => short(printable(text).trim(), 300);
