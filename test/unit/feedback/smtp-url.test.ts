import { describe, expect, it } from 'vitest';
import { parseSmtpUrl, SmtpUrlError } from '../../../coordinator/feedback/smtp-url.js';
import { webhookUrlProblem } from '../../../coordinator/feedback/webhook-url.js';
import { readMail } from '../../../coordinator/config.js';

describe('the URL of an SMTP server', () => {
  it.each([
    ['smtp://mail.example.org', { host: 'mail.example.org', port: 25, implicitTls: false, isLocal: false }],
    ['smtps://Mail.example.org/', { host: 'mail.example.org', port: 465, implicitTls: true }],
    ['smtp://127.0.0.1:2525', { port: 2525, isLocal: true }],
    ['smtp://[::1]:2525', { host: '::1', isLocal: true }],
    ['smtp://u:p@h', { port: 587, auth: { user: 'u', password: 'p' } }],
    ['smtp://u%40example.org:p%2Fw%23@h:26', { port: 26, auth: { user: 'u@example.org', password: 'p/w#' } }],
  ])('%s', (text, expected) => {
    expect(parseSmtpUrl(text)).toMatchObject(expected);
  });

  it.each([
    'mail.example.org',
    'http://h',
    'smtp://',
    'smtp://user@h',
    'smtp://u:hunter2/x@h',
    'smtp://u:hunter2@h/path',
    'smtp://u:hunter2%zz@h',
    'smtp://u:hunter2@h?x=1',
    'smtp://h:99999',
  ])('%s is refused, and the message holds no password', (text) => {
    const act = (): unknown => parseSmtpUrl(text);
    expect(act).toThrow(SmtpUrlError);
    expect(act).not.toThrow(/hunter2/);
  });
});

describe('the settings of mail', () => {
  const read = (smtp?: string, from?: string): unknown => {
    const problems: string[] = [];
    const mail = readMail(smtp, from, problems);
    return problems.length > 0 ? problems : mail;
  };
  it('is off without a server', () => expect(read()).toBeUndefined());
  it('has a sender of its own', () => {
    expect(read('smtp://localhost')).toMatchObject({ from: expect.stringMatching(/^gantry@./) as string });
    expect(read('smtp://localhost', 'ci@example.org')).toMatchObject({ from: 'ci@example.org' });
  });
  it('says what is wrong, all at once', () => {
    expect(read('imap://x', 'CI <ci@example.org>')).toEqual([
      expect.stringContaining('--mail-from CI <ci@example.org>: expected one address') as string,
      expect.stringContaining('--smtp (GANTRY_SMTP): expected smtp://') as string,
    ]);
  });
});

describe('the URL of a webhook', () => {
  it.each([
    'https://chat.example/hook?x=1',
    'http://127.0.0.1:1/',
    'http://localhost',
    'http://[::1]:8080/x',
  ])('%s', (url) => expect(webhookUrlProblem(url)).toBeUndefined());
  it.each([
    'http://chat.example/',
    'http://127.0.0.1.evil.example/',
    'http://169.254.169.254/latest',
    'file:///etc/passwd',
    'https://u:p@chat.example/',
    'chat',
    'gopher://x',
  ])('%s is refused', (url) => expect(webhookUrlProblem(url)).toEqual(expect.any(String)));
});
