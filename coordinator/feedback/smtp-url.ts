/** The SMTP server that mail goes to, read from a URL. */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte. Otherwise STARTTLS where the server offers it. */
  readonly implicitTls: boolean;
  readonly auth?: { readonly user: string; readonly password: string };
  /** On this machine: nobody stands between, and its certificate is for another name. */
  readonly isLocal: boolean;
}

/** What is wrong with the URL; the message never holds it, for it may hold a password. */
export class SmtpUrlError extends Error {
  override readonly name = 'SmtpUrlError';
}

const form =
  'expected smtp://HOST[:PORT] or smtps://HOST[:PORT], with USER:PASSWORD@ before the host if it asks for them';

/** `smtp://user:password@host:port` or `smtps://…`; ports are 25 (587 with a user) and 465. Throws `SmtpUrlError`. */
export function parseSmtpUrl(text: string): SmtpServer {
  const url = URL.parse(text.trim());
  if (url === null) throw new SmtpUrlError(form);
  if (url.protocol !== 'smtp:' && url.protocol !== 'smtps:') {
    throw new SmtpUrlError(`${form}, got ${url.protocol}//`);
  }
  if (url.hostname === '') throw new SmtpUrlError(`the host is missing: ${form}`);
  if ((url.pathname !== '' && url.pathname !== '/') || url.search !== '' || url.hash !== '') {
    throw new SmtpUrlError(
      `nothing may follow HOST:PORT (write "/", "?" and "#" of a password as %2F, %3F, %23): ${form}`,
    );
  }
  if ((url.username === '') !== (url.password === '')) {
    throw new SmtpUrlError('user and password go together: smtp://USER:PASSWORD@HOST');
  }
  const implicitTls = url.protocol === 'smtps:';
  const usual = implicitTls ? 465 : url.username === '' ? 25 : 587;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return {
    host,
    port: url.port === '' ? usual : Number(url.port),
    implicitTls,
    isLocal: host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host),
    ...(url.username === ''
      ? {}
      : { auth: { user: decoded(url.username), password: decoded(url.password) } }),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SmtpUrlError('user or password has a "%" that is no escape: write it as %25');
  }
}
