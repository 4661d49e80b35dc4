/** Why a URL is none to tell news to, in a sentence; undefined: it is one. https, or http to this machine. */
export function webhookUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return `${JSON.stringify(text.slice(0, 200))} is no URL`;
  if (url.username !== '' || url.password !== '') return 'a webhook’s URL has no user or password in it';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol !== 'http:') return `${url.protocol}// is not allowed: use https`;
  return isLoopback(url.hostname)
    ? undefined
    : `http is allowed to this machine only, anybody on the way could read it: use https for ${url.hostname}`;
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
