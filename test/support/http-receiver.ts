/** A real HTTP server on loopback that keeps what it is sent, and answers as the test says. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type HttpAnswer = number | 'never' | { readonly status: number; readonly location: string };

export class HttpReceiver {
  readonly received: Received[] = [];
  /** `never`: the connection stays open without an answer. */
  answer: (request: Received) => HttpAnswer | Promise<HttpAnswer> = () => 204;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const received: Received = {
          method: request.method ?? '',
          path: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
        };
        this.received.push(received);
        void this.#answer(response, received);
      });
    });
  }

  static async start(): Promise<HttpReceiver> {
    const receiver = new HttpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    // Listening on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  header(index: number, name: string): string {
    const value = this.received[index]?.headers[name];
    if (typeof value !== 'string') throw new Error(`request ${index} has no header ${name}`);
    return value;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(response: ServerResponse, received: Received): Promise<void> {
    const answer = await this.answer(received);
    if (answer === 'never') return;
    if (typeof answer === 'number') response.writeHead(answer).end(`status ${answer}`);
    else response.writeHead(answer.status, { location: answer.location }).end();
  }
}
