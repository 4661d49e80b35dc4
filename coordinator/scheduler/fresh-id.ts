import { base32Of, parseRunId, type RunId } from '../../shared/model/ids.js';

/**
 * A run id that nobody else makes, of text that holds the epoch's seed (128 random bits): FNV-1a over it in five lanes,
 * each finished as MurmurHash3 finishes, so that texts that differ in one character share no bits. The same text gives
 * the same id.
 */
export function freshRunId(text: string): RunId {
  const bytes = new Uint8Array(10);
  for (let lane = 0; lane < 5; lane += 1) {
    const bits = finished(hashOf(`${lane}/${text}`));
    bytes[2 * lane] = bits >>> 8;
    bytes[2 * lane + 1] = bits;
  }
  const run = parseRunId(base32Of(bytes));
  if (run === undefined) throw new Error('base32Of made something that is no run id');
  return run;
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

function finished(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
