import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SafeDirectory, unsafeLink } from '../../../coordinator/cli/artifacts/safe-directory.js';

let outer: string;
let dir: string;
let safe: SafeDirectory;
beforeEach(async () => {
  outer = mkdtempSync(join(tmpdir(), 'gantry-safe-'));
  dir = join(outer, 'out');
  safe = await SafeDirectory.open(dir);
});
afterEach(async () => {
  await safe.close();
  rmSync(outer, { recursive: true, force: true });
});

async function* content(...parts: (string | Error)[]): AsyncIterable<Buffer> {
  for (const part of parts) {
    await Promise.resolve();
    if (part instanceof Error) throw part;
    yield Buffer.from(part);
  }
}
const write = (path: string, ...parts: (string | Error)[]): Promise<void> =>
  safe.writeFile(Buffer.from(path), 0o644, content(...parts));

describe('writing below a directory', () => {
  it('writes whole files with their modes, without set-user-id', async () => {
    await safe.writeFile(Buffer.from('a/b c/tool "x"\n🚀'), 0o4755, content('he', 'llo'));
    const file = join(dir, 'a/b c/tool "x"\n🚀');
    expect(readFileSync(file, 'utf8')).toBe('hello');
    expect(statSync(file).mode & 0o7777).toBe(0o755);
  });

  it('writes names that are no UTF-8', async () => {
    await safe.writeFile(Buffer.from([0x61, 0xff]), 0o644, content('x'));
    expect(
      readdirSync(dir, { encoding: 'buffer' }).some((name) => name.equals(Buffer.from([0x61, 0xff]))),
    ).toBe(true);
  });

  it.each(['../x', 'a/../../x', '/etc/x', 'a//b', './x', '', 'a/..'])('refuses the name %j', async (path) => {
    await expect(write(path, 'x')).rejects.toThrow('cannot be written below the directory');
  });

  it('refuses to write through a link, whoever made it', async () => {
    symlinkSync(outer, join(dir, 'link'));
    await expect(write('link/x', 'x')).rejects.toThrow('would be written through the link');
    expect(existsSync(join(outer, 'x'))).toBe(false);
  });

  it('replaces a link instead of writing to what it points to', async () => {
    writeFileSync(join(outer, 'victim'), 'old');
    symlinkSync(join(outer, 'victim'), join(dir, 'file'));
    await write('file', 'new');
    expect(readFileSync(join(outer, 'victim'), 'utf8')).toBe('old');
    expect(lstatSync(join(dir, 'file')).isSymbolicLink()).toBe(false);
  });

  it('leaves the old file, and nothing else, when the content turns out to be damaged', async () => {
    await write('file', 'old');
    await expect(write('file', 'half of', new Error('damaged'))).rejects.toThrow('damaged');
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('old');
    await safe.close();
    expect(readdirSync(dir)).toEqual(['file']);
  });

  it('says when a file is in the way of a directory, and the other way round', async () => {
    await write('file', 'x');
    await expect(write('file/below', 'x')).rejects.toThrow('which is a file');
    mkdirSync(join(dir, 'directory/full'), { recursive: true });
    await expect(write('directory', 'x')).rejects.toThrow('is a directory there already');
  });

  it('makes links that stay below, and no others', async () => {
    await safe.writeLink(Buffer.from('bin/tool'), '../lib/tool.sh');
    expect(readlinkSync(join(dir, 'bin/tool'))).toBe('../lib/tool.sh');
    await expect(safe.writeLink(Buffer.from('bin/evil'), '../../x')).rejects.toThrow('leaves the directory');
  });

  it.each([
    ['a', 'b', undefined],
    ['a', './b//c', undefined],
    ['d/a', '..', undefined],
    ['d/a', '../..', 'leaves the directory'],
    ['a', '..', 'leaves the directory'],
    ['a', '/etc/passwd', 'is absolute'],
    // Where `s` is a link to a directory above, this leads out although the text does not.
    ['a', 's/../x', 'goes up after it went down'],
    ['a', '', 'is no path'],
  ])('a link at %s to %s', (path, target, reason) => {
    expect(unsafeLink(Buffer.from(path), target)).toBe(reason);
  });
});
