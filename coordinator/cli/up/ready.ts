/** Whether a daemon does its work now; asked again and again while starting. */
import { connect as connectTcp } from 'node:net';

/** A NATS server greets with its INFO line, with and without TLS. */
export function natsAnswers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('data', (data) => done(data.toString('latin1').startsWith('INFO ')));
  });
}

/** Any answer will do: without credentials an S3 server says no, but it says it. */
export async function httpAnswers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.body?.cancel();
    return true;
  } catch (error) {
    // A certificate that this process does not know was shown by a server that runs.
    const cause = error instanceof Error ? error.cause : undefined;
    return (
      cause instanceof Error &&
      'code' in cause &&
      /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(String(cause.code))
    );
  }
}
