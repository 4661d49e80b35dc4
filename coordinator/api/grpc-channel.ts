/** Whether what a call is answered can be read on the way. */

interface Channel {
  getPeer(): string;
  getAuthContext(): { readonly transportSecurityType?: string };
}

/** TLS, or a caller on this machine. */
export const isPrivateChannel = (call: Channel): boolean =>
  call.getAuthContext().transportSecurityType !== undefined || isLoopback(call.getPeer());

/** As `getPeer` writes it: `127.0.0.1:40000`, `[::1]:40000`. */
export function isLoopback(peer: string): boolean {
  const host = /^\[?(.*?)\]?:\d+$/.exec(peer)?.[1] ?? '';
  return /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/i.test(host) || host === '::1';
}
