import { open, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { errorCode, ignoringMissing } from './errors.js';

/**
 * Makes this process the only storage server of a directory. The lock is a listening Unix socket: the kernel ends it with the process, so a killed
 * server leaves nothing that must be judged by pids or ages. Returns what gives it up.
 */
export async function lockDirectory(path: string): Promise<() => Promise<void>> {
  const directory = await open(path, 'r');
  // Socket paths end at 107 bytes, data directories do not.
  const socket = `/proc/self/fd/${directory.fd}/lock`;
  try {
    const server = await listenOn(socket, path);
    return async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await directory.close();
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

async function listenOn(socket: string, path: string): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await listen(socket);
    } catch (error) {
      if (errorCode(error) !== 'EADDRINUSE' || attempt === 3) throw error;
      if (await answers(socket)) {
        throw new Error(
          `another storage server uses ${path}: stop it, or give this one a data directory of its own`,
          { cause: error },
        );
      }
      await ignoringMissing(unlink(socket));
    }
  }
}

function listen(socket: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', reject);
    server.listen(socket, () => {
      server.unref();
      resolve(server);
    });
  });
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}
