import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOfFilePath, filePathOf, unsafeReason } from '../../../shared/blob/file-path.js';
import type { FilePath } from '../../../shared/model/artifact.js';

describe('a path in JSON', () => {
  it('comes back byte for byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const path = Buffer.from(bytes);
        const json = JSON.parse(JSON.stringify(filePathOf(path))) as FilePath;
        expect(bytesOfFilePath(json).equals(path)).toBe(true);
      }),
    );
  });

  it('is text where it can be', () => {
    expect(filePathOf(Buffer.from('a/ü\n🚂'))).toEqual({ path: 'a/ü\n🚂' });
    expect(filePathOf(Buffer.from([0x61, 0xff]))).toEqual({ pathBase64: 'Yf8=' });
  });
});

describe('a path to be joined to a directory', () => {
  it.each(['a', 'a/b', '...', '..a', 'a..', '.git', 'a/.b', '-', ' ', '\n', 'ü'])('may be %j', (path) => {
    expect(unsafeReason(Buffer.from(path))).toBeUndefined();
  });
  it.each(['', '/', '/a', '..', '../a', 'a/..', 'a/../b', '.', './a', 'a/.', 'a//b', 'a/', 'a\0b'])(
    'may not be %j',
    (path) => {
      expect(unsafeReason(Buffer.from(path))).toMatch(/^it /);
    },
  );
});
