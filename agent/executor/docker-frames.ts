/**
 * Joins the payloads of Docker's frames (8 bytes of header: stream, 0, 0, 0, length), the last one complete or not.
 * For short outputs that are held whole; the output of steps never comes this way.
 */
export function payloadText(frames: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= frames.length;) {
    const length = frames.readUInt32BE(at + 4);
    parts.push(frames.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(parts).toString('utf8');
}
