/** A secret's value, from where it is in no list of processes and in no shell's history: stdin, a file, or typed unseen. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { CliError } from './cli-error.js';
import { exitCodes } from './exit-codes.js';

/** More than any value may have: what is no secret at all is not read whole. */
const maxBytes = 64 * 1024;

/**
 * Of one line, the line end is no part of the value; of several, everything is (a private key ends with one). `prompt` is
 * shown where a person has to type it.
 */
export async function readSecret(options: {
  readonly file?: string;
  readonly prompt: string;
  readonly stdin?: ReadStream;
}): Promise<string> {
  const { file, prompt, stdin = process.stdin } = options;
  if (file !== undefined && file !== '-') return trimmed(await readFrom(createReadStream(file), file));
  if (file === undefined && stdin.isTTY) return typed(stdin, prompt);
  return trimmed(await readFrom(stdin, 'stdin'));
}

async function readFrom(stream: Readable, where: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error));
  }
  if (bytes > maxBytes) throw wrong(`${where} holds more than ${maxBytes} bytes: that is no secret`);
  const whole = Buffer.concat(chunks);
  const text = whole.toString();
  // What is no text would come back as something else.
  if (!Buffer.from(text).equals(whole)) throw wrong(`${where} is no UTF-8 text: encode it (base64) first`);
  return text;
}

function trimmed(text: string): string {
  const value = text.replace(/\r?\n$/, '');
  return value.includes('\n') ? text : value;
}

/** In raw mode the terminal echoes nothing and makes no signals: keys that end, delete and interrupt are read here. */
function typed(stdin: ReadStream, prompt: string): Promise<string> {
  process.stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.resume();
  return new Promise((resolve, reject) => {
    const keys: string[] = [];
    const done = (): void => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.off('data', onData);
      process.stderr.write('\n');
    };
    const onData = (chunk: Buffer): void => {
      for (const key of chunk.toString()) {
        if (key === '\u0003') {
          done();
          reject(new CliError(exitCodes.interrupted, 'interrupted: nothing was set'));
          return;
        }
        if (key === '\r' || key === '\n' || key === '\u0004') {
          done();
          resolve(keys.join(''));
          return;
        }
        if (key === '\u007f' || key === '\b') keys.pop();
        else if (key === '\u0015') keys.length = 0;
        else keys.push(key);
      }
    };
    stdin.on('data', onData);
  });
}

const wrong = (message: string): CliError => new CliError(exitCodes.usage, message);
