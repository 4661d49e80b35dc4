/** A wire that a test can cut: a port of 127.0.0.1 whose connections go on to a server, until they do not. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface TcpProxy {
  /** The server's URL by way of this port. */
  readonly url: string;
  /** Breaks all connections and refuses new ones. */
  cut(): Promise<void>;
  /** Resolves when so many bytes went to the server from now on, and the wire was cut there. */
  cutAfter(bytes: number): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const sockets = new Set<Socket>();
  let sent = 0;
  let onSent: (() => void) | undefined;
  let server: Server | undefined;

  const accept = (near: Socket): void => {
    const far = connect(Number(targetPort), hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    near.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      onSent?.();
    });
    near.pipe(far);
    far.pipe(near);
  };
  const listen = async (port: number): Promise<Server> => {
    const made = createServer(accept).listen(port, '127.0.0.1');
    await once(made, 'listening');
    return made;
  };
  const cut = async (): Promise<void> => {
    const closing = server;
    server = undefined;
    onSent = undefined;
    if (closing === undefined) return;
    const closed = once(closing, 'close');
    closing.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };

  server = await listen(0);
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  return {
    url: `http://127.0.0.1:${port}`,
    cut,
    cutAfter: (bytes) =>
      new Promise((resolve, reject) => {
        const from = sent;
        onSent = () => {
          if (sent - from >= bytes) cut().then(resolve, reject);
        };
      }),
    mend: async () => {
      server ??= await listen(port);
    },
    close: cut,
  };
}
