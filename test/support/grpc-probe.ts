/** Calls of the API as anybody may make them: any method, any request, any bearer; the answer is what was told. */
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import { eventually } from './eventually.js';

export { status };

export interface Told {
  readonly code: status;
  readonly details: string;
  /** Of a call that was answered: the message, of streams the first one. */
  readonly answer?: unknown;
}

type Message = Readonly<Record<string, unknown>>;
type Method = MethodDefinition<object, object>;

export interface ProbeLink {
  readonly answers: readonly Message[];
  /** What ended the stream. */
  readonly end: Told | undefined;
  send(message: object): void;
  /** Until an answer fits. */
  until(what: string, fits: (message: Message) => boolean): Promise<{ readonly answers: readonly Message[] }>;
  close(): void;
}

export const statusName = (code: status): string => status[code];

export class GrpcProbe {
  readonly #client: Client;
  readonly #methods: ReadonlyMap<string, Method>;

  constructor(address: string) {
    const { Runs, Projects, Gate, Environments, Access, Fleet, AgentLink } = loadContract();
    this.#client = new Client(address, credentials.createInsecure(), channelOptions);
    this.#methods = new Map(
      Object.entries({ Runs, Projects, Gate, Environments, Access, Fleet, AgentLink }).flatMap(
        ([service, { service: definition }]) =>
          Object.entries(definition).map(([name, method]): [string, Method] => [
            `${service}.${name}`,
            method as Method, // The generated types name each message; here any object may be sent.
          ]),
      ),
    );
  }

  /** `Service.Method` of all that the contract has. */
  methods(): readonly string[] {
    return [...this.#methods.keys()];
  }

  /** A stream ends with its first message or its error, whichever comes first. */
  call(name: string, request: object, bearer: string | undefined): Promise<Told> {
    const method = this.#method(name);
    const metadata = bearerMetadata(bearer);
    const options = { deadline: Date.now() + 10_000 };
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise((resolve) => {
      if (!method.responseStream) {
        this.#client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          options,
          (error, answer) => resolve(error === null ? { ...ok, answer } : toldOf(error)),
        );
        return;
      }
      let stream: ClientReadableStream<object>;
      if (method.requestStream) {
        const both = this.#client.makeBidiStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          metadata,
          options,
        );
        both.write(request);
        stream = both;
      } else {
        stream = this.#client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          options,
        );
      }
      stream.on('error', (error: ServiceError) => resolve(toldOf(error)));
      stream.once('data', (answer: unknown) => {
        resolve({ ...ok, answer });
        stream.cancel();
      });
      stream.once('end', () => resolve(ok));
    });
  }

  /** Reads a server stream until it ends, by itself or not. */
  untilEnd(
    name: string,
    request: object,
    bearer: string,
  ): { messages(): number; readonly end: Promise<Told> } {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    const metadata = bearerMetadata(bearer);
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
    );
    let messages = 0;
    stream.on('data', () => (messages += 1));
    const end = new Promise<Told>((resolve) => {
      stream.on('error', (error: ServiceError) => resolve(toldOf(error)));
      stream.on('end', () => resolve(ok));
    });
    return { messages: () => messages, end };
  }

  /** An agent's link; resolves when it is welcome. */
  async link(hello: object, bearer: string): Promise<ProbeLink> {
    const method = this.#method('AgentLink.Open');
    const stream = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      bearerMetadata(bearer),
    );
    const answers: Message[] = [];
    let end: Told | undefined;
    stream.on('data', (message: Message) => answers.push(message));
    stream.on('error', (error: ServiceError) => (end ??= toldOf(error)));
    stream.on('end', () => (end ??= ok));
    stream.write(hello);
    await eventually('the link is welcome', () => {
      if (end !== undefined) throw new Error(`the link ended: ${statusName(end.code)} ${end.details}`);
      return answers.some((answer) => answer['message'] === 'welcome');
    });
    return {
      answers,
      get end() {
        return end;
      },
      send: (message) => void stream.write(message),
      until: async (what, fits) => {
        await eventually(what, () => answers.some(fits));
        return { answers };
      },
      close: () => stream.cancel(),
    };
  }

  close(): void {
    this.#client.close();
  }

  #method(name: string): Method {
    const method = this.#methods.get(name);
    if (method === undefined) throw new Error(`the contract has no ${name}`);
    return method;
  }
}

const ok: Told = { code: status.OK, details: '' };
const toldOf = (error: ServiceError): Told => ({ code: error.code, details: error.details });

function bearerMetadata(bearer: string | undefined): Metadata {
  const metadata = new Metadata();
  if (bearer !== undefined) metadata.set('authorization', `Bearer ${bearer}`);
  return metadata;
}
