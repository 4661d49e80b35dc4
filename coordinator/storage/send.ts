import type { ServerResponse } from 'node:http';
import type { Answer } from './answer.js';
import type { OpenContent, Span } from './content.js';

/** Puts an answer on the wire; fulfilled when it has left, rejected when the client went away. */
export async function send(response: ServerResponse, answer: Answer): Promise<void> {
  const { body } = answer;
  try {
    response.writeHead(answer.status, answer.headers);
    switch (body.kind) {
      case 'none':
        response.end();
        break;
      case 'text':
        response.end(body.text);
        break;
      case 'content':
        await sendContent(response, body.content, body.span);
        response.end();
        break;
    }
  } finally {
    if (body.kind === 'content') await body.content.close();
  }
}

/**
 * Reads a block while the one before it is on its way; more are never in memory. A client that goes away ends the reading, whether or not
 * the pending write is told so.
 */
async function sendContent(response: ServerResponse, content: OpenContent, span: Span): Promise<void> {
  const gone = new Promise<never>((_, reject) => {
    response.once('close', () => reject(new Error('the client went away')));
  });
  gone.catch(() => undefined); // seen only while a write is awaited
  let before: Promise<void> = Promise.resolve();
  for await (const block of content.read(span)) {
    const written = new Promise<void>((resolve, reject) => {
      response.write(block, (error) => (error ? reject(error) : resolve()));
    });
    written.catch(() => undefined);
    await Promise.race([before, gone]);
    before = written;
  }
  await Promise.race([before, gone]);
}
