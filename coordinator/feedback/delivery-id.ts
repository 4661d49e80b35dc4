import { createHash } from 'node:crypto';
import type { RunId } from '../../shared/model/ids.js';
import type { NewsKind } from '../../shared/model/project.js';

/**
 * What a message is known by: 32 hexadecimal characters, the same however often it is sent. A receiver that has seen the id
 * may drop the message: it is the rest of a crash between the receiver's "yes" and the journal.
 */
export function deliveryId(run: RunId, target: string, news: NewsKind): string {
  return createHash('sha256')
    .update(JSON.stringify([run, target, news]))
    .digest('hex')
    .slice(0, 32);
}
