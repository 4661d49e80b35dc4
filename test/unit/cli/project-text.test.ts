import { describe, expect, it } from 'vitest';
import { nextForProject, projectText } from '../../../coordinator/cli/projects/project-text.js';
import type { Project__Output } from '../../../shared/wire/gen/gantry/v1/Project.js';

const name = 'git.example.org/team/app';
const long = {
  id: 'abcdefghijklmnop',
  name,
  url: `https://${name}`,
  head: 'main',
  refs: 12,
  trouble: `https://${name}: the repository cannot be read: the remote end hung up before it said anything of use`,
  settings: {
    pollMs: 10_000,
    mailDomains: ['example.org', 'corp.example.org', 'sub.example.com', 'another.example.net'],
    webhooks: [
      { name: 'a-webhook-of-a-name-that-is-long-but-allowed', url: 'https://chat.example.org/hook' },
    ],
    gate: {
      targets: ['main', 'release/1'],
      require: ['test', 'lint', 'package'],
      depth: 20,
      method: 'merge',
    },
  },
  branches: [
    { branch: 'topic/a-branch-with-a-name-of-some-length', status: 'failing', run: 'k3f7abcdefghijkl' },
  ],
} as unknown as Project__Output;

describe('a project as text', () => {
  it('fits a terminal of 80 columns', () => {
    const lines = projectText(long, false);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines).toContain(
      '  mail may go to   known users, example.org, corp.example.org, sub.example.com,',
    );
    expect(lines).toContain('                   another.example.net');
  });

  it('breaks no word, however long: a URL is to be copied', () => {
    const url = `https://git.example.org/${'a'.repeat(100)}`;
    expect(projectText({ ...long, url }, false).join('\n')).toContain(`repository       ${url}\n`);
  });

  it('says the same with colours', () => {
    // eslint-disable-next-line no-control-regex -- colours are what it looks for
    const plain = projectText(long, true).map((line) => line.replaceAll(/\u001b\[\d+m/g, '').trimEnd());
    expect(plain).toEqual(projectText(long, false));
  });

  it('is followed by commands that name the project', () => {
    expect(nextForProject(long)).toEqual([
      `  gantry runs --project ${name}  its runs`,
      `  gantry projects hook ${name}   hear of pushes at once`,
    ]);
  });
});
