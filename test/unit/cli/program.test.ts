import { afterEach, describe, expect, it, vi } from 'vitest';
import { commandNames, runProgram } from '../../../coordinator/cli/program.js';

/** What a program printed, and how it ended. */
async function run(...args: string[]): Promise<{ code: number | undefined; out: string; err: string }> {
  let out = '';
  let err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  try {
    return { code: await runProgram(args), out, err };
  } finally {
    vi.restoreAllMocks();
  }
}
afterEach(() => vi.restoreAllMocks());

/** Those that are only a heading for others. */
const groups: Readonly<Record<string, readonly string[]>> = {
  artifacts: ['ls', 'get'],
  agents: ['ls', 'drain', 'token'],
  nats: ['init'],
  projects: ['add', 'set', 'remove', 'ls', 'show', 'poll', 'run', 'deliveries', 'hook'],
  users: ['add', 'ls', 'set', 'remove'],
  tokens: ['create', 'ls', 'revoke'],
  secrets: ['set', 'ls', 'remove'],
  environments: ['add', 'set', 'remove', 'ls', 'show', 'diff', 'hold', 'resume', 'settle'],
  gate: ['ls', 'show', 'eject', 'pause', 'resume', 'protect'],
};
const commands = [
  ...commandNames.filter((name) => !(name in groups)).map((name) => [name]),
  ...Object.entries(groups).flatMap(([group, names]) => names.map((name) => [group, name])),
];

describe('the command line', () => {
  it.each(commands.map((words) => [words.join(' '), words] as const))(
    '%s --help has an example, and --json',
    async (_name, words) => {
      const { code, out } = await run(...words, '--help');
      expect(code).toBe(0);
      expect(out).toMatch(/\nExamples?:\n {2}gantry /);
      expect(out).toContain('--json');
    },
  );

  it('lists every command in its help, which names the exit codes', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const name of commandNames) expect(out).toMatch(new RegExp(`\n  ${name} `));
    expect(out).toContain('130 interrupted');
  });

  it.each([
    ['an unknown command', ['nope'], /unknown command 'nope'/],
    ['a command that is nearly right', ['sumbit'], /Did you mean submit\?/],
    ['an unknown flag', ['runs', '--nope'], /unknown option '--nope'/],
    ['a missing argument', ['artifacts', 'get'], /missing required argument 'run'/],
    ['too many arguments', ['show', 'a', 'b'], /too many arguments/],
  ])('%s is wrong usage', async (_what, args, message) => {
    const { code, err } = await run(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
