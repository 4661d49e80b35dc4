import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  checkRepositoryAllowed,
  normalizeRepositoryUrl,
  projectOf,
  RepositoryUrlError,
  withoutCredentials,
} from '../../../shared/git/repository-url.js';

describe('a repository URL', () => {
  test.each([
    ['https://GitHub.com/Owner/Name.git', 'https://github.com/Owner/Name.git', 'github.com/Owner/Name'],
    ['https://github.com/Owner/Name/', 'https://github.com/Owner/Name', 'github.com/Owner/Name'],
    ['https://git.example:8443/a/b.git', 'https://git.example:8443/a/b.git', 'git.example:8443/a/b'],
    ['https://git.example:443/a', 'https://git.example/a', 'git.example/a'],
    ['git@GitHub.com:Owner/Name.git', 'git@github.com:Owner/Name.git', 'github.com/Owner/Name'],
    ['github.com:Owner/Name', 'github.com:Owner/Name', 'github.com/Owner/Name'],
    ['git@host:/srv/a.git', 'git@host:/srv/a.git', 'host/srv/a'],
    ['ssh://git@GitHub.com/Owner/Name.git', 'ssh://git@github.com/Owner/Name.git', 'github.com/Owner/Name'],
    ['ssh://git@host:22/a/b', 'ssh://git@host/a/b', 'host/a/b'],
    ['ssh://git@host:2222/a/b', 'ssh://git@host:2222/a/b', 'host:2222/a/b'],
    ['/srv/git/app.git', '/srv/git/app.git', '/srv/git/app'],
    ['/srv/git/app/.git/', '/srv/git/app/.git', '/srv/git/app'],
    ['/srv/git/../git/app', '/srv/git/app', '/srv/git/app'],
    ['file:///srv/my%20app', '/srv/my app', '/srv/my app'],
    ['http://127.0.0.1:8080/a.git', 'http://127.0.0.1:8080/a.git', '127.0.0.1:8080/a'],
    ['http://localhost/a', 'http://localhost/a', 'localhost/a'],
    ['http://[::1]:80/a', 'http://[::1]/a', '[::1]/a'],
    ['  https://host/a \n', 'https://host/a', 'host/a'],
  ])('%s is %s and names %s', (given, url, name) => {
    expect(normalizeRepositoryUrl(given)).toMatchObject({ url, name });
  });

  test('names one project by https, ssh and scp form', () => {
    const names = ['https://h/o/n.git', 'ssh://git@h/o/n', 'git@h:o/n.git'].map(
      (url) => normalizeRepositoryUrl(url).name,
    );
    expect(new Set(names)).toEqual(new Set(['h/o/n']));
  });

  test('is as it was when it is normalized again', () => {
    for (const given of ['https://H/o/n.git/', 'git@H:o/n.git', 'ssh://git@H:22/o', '/a//b/../c/']) {
      const { url, name } = normalizeRepositoryUrl(given);
      expect(normalizeRepositoryUrl(url)).toMatchObject({ url, name });
    }
  });

  test.each([
    ['', /empty/],
    ['--upload-pack=touch /tmp/x', /"-"/],
    ['-oProxyCommand=x:y', /"-"/],
    ['ssh://-oProxyCommand=x/y', /host/],
    ['git@-oProxyCommand=x:y', /host/],
    ['host:-x', /"-"/],
    ['ext::sh -c id', /remote helpers/],
    ['git://host/a', /git:\/\/ is not allowed/],
    ['ftp://host/a', /ftp:\/\/ is not allowed/],
    ['http://example.org/a', /https for example.org/],
    ['http://127.0.0.1.example.org/a', /https for/],
    ['https://user@host/a', /credentials/],
    ['https://user:secret@host/a', /credentials/],
    ['ssh://git:secret@host/a', /password/],
    ['https://host', /names no repository/],
    ['https://host/', /names no repository/],
    ['https://host/a?x=1', /"\?"/],
    ['https://host/a#x', /"#"/],
    ['file://host/a', /another machine/],
    ['relative/path', /absolute path/],
    ['./here', /absolute path/],
    ['https://host/a\nb', /control character/],
    ['https://host/a\0b', /control character/],
  ])('%j is refused', (given, message) => {
    expect(() => normalizeRepositoryUrl(given)).toThrow(RepositoryUrlError);
    expect(() => normalizeRepositoryUrl(given)).toThrow(message);
  });

  test('never shows a password when it is refused', () => {
    for (const given of [
      'https://u:hunter2@h/a',
      'ssh://u:hunter2@h/a',
      'http://u:hunter2@h.example/a',
      'git://h/a',
    ]) {
      expect(() => normalizeRepositoryUrl(given)).toThrow(expect.not.stringContaining('hunter2') as string);
    }
    expect(withoutCredentials('https://u:hunter2@h/a')).toBe('https://h/a');
    expect(withoutCredentials('ssh://git:hunter2@h/a')).toBe('ssh://git@h/a');
    expect(withoutCredentials('git@h:a')).toBe('git@h:a');
  });

  test('gives a project the same id always', () => {
    expect(projectOf('github.com/owner/name')).toEqual({
      id: 'mkjb6h72jxqsgbrz',
      name: 'github.com/owner/name',
    });
  });
});

describe('a repository on this machine', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'gantry-url-'));
    await mkdir(path.join(directory, 'root', 'app'), { recursive: true });
    await mkdir(path.join(directory, 'root-of-others', 'app'), { recursive: true });
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test('is read below a root, and as a root', async () => {
    const root = path.join(directory, 'root');
    const app = path.join(root, 'app');
    expect((await checkRepositoryAllowed(app, [root])).url).toBe(app);
    expect((await checkRepositoryAllowed(app, [app])).url).toBe(app);
    expect((await checkRepositoryAllowed(app, ['/nowhere', root])).url).toBe(app);
  });

  test('is refused elsewhere, also beside a root whose name begins alike', async () => {
    const root = path.join(directory, 'root');
    const others = path.join(directory, 'root-of-others', 'app');
    await expect(checkRepositoryAllowed(others, [root])).rejects.toThrow(
      /not below a repository root.*--repo-root/,
    );
    await expect(checkRepositoryAllowed(others, [])).rejects.toThrow(/there is none/);
    await expect(checkRepositoryAllowed('/nowhere/at/all', [root])).rejects.toThrow(/not below/);
    await expect(checkRepositoryAllowed(path.join(root, 'missing'), [root])).rejects.toThrow(
      /does not exist/,
    );
  });

  test('counts by where it is, not by the link that leads there', async () => {
    const root = path.join(directory, 'root');
    await symlink(path.join(directory, 'root-of-others'), path.join(root, 'link'));
    await expect(checkRepositoryAllowed(path.join(root, 'link', 'app'), [root])).rejects.toThrow(/not below/);
    await symlink(root, path.join(directory, 'alias'));
    const real = await checkRepositoryAllowed(path.join(directory, 'alias', 'app'), [
      path.join(directory, 'alias'),
    ]);
    expect(real.url).toBe(path.join(root, 'app'));
  });
});
