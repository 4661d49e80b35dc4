/** Which deployment is meant by ENV, RUN or nothing. */
import { describe, expect, it } from 'vitest';
import { choose, type Wanted } from '../../../../coordinator/cli/environments/choose-deployment.js';
import { CliError } from '../../../../coordinator/cli/cli-error.js';
import { parseRunId } from '../../../../shared/model/ids.js';
import { deployment, environment, waiting } from './sample.js';

const approval: Wanted = {
  isMeant: ({ status }) => status === 'approval',
  what: 'waits for approval',
  command: 'gantry approve',
};
const run = (text: string) => parseRunId(text.padEnd(16, 'a'))!;
const staging = environment({ environment: 'staging', open: [waiting(3, { run: run('k3f7') })] });
const production = environment({
  open: [deployment(1, { status: 'running' }), waiting(2, { run: run('bcde') })],
});

function refused(word: string | undefined, environments = [staging, production]): CliError {
  try {
    choose(environments, word, approval);
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('one was chosen');
}

describe('a deployment is chosen', () => {
  it.each([
    ['production', 2],
    ['staging', 3],
    ['k3f7', 3],
    ['BCDE', 2],
  ])('by %s', (word, number) => {
    expect(choose([staging, production], word, approval).deployment.deployment).toBe(number);
  });

  it('by nothing, where only one waits', () => {
    expect(choose([production], undefined, approval).deployment.deployment).toBe(2);
  });
});

describe('nothing is chosen', () => {
  it('where several wait: each is named with the command for it', () => {
    const { exitCode, remedies } = refused(undefined);
    expect(exitCode).toBe(2);
    expect(remedies).toEqual([
      'gantry approve k3f7aaaa   # staging of git.example.org/team/app, Add the login',
      'gantry approve bcdeaaaa   # production of git.example.org/team/app, Add the login',
    ]);
  });

  it('of two projects whose environments have one name', () => {
    const other = environment({ projectName: 'git.example.org/team/other', open: [waiting(4)] });
    expect(refused('production', [production, other]).exitCode).toBe(2);
  });

  it('where nothing waits, or not there', () => {
    expect(refused(undefined, [environment()])).toMatchObject({
      exitCode: 4,
      message: 'nothing waits for approval',
    });
    expect(refused('production', [environment(), staging]).message).toBe(
      'no deployment of production waits for approval',
    );
  });

  it('by a word that is neither an environment nor a run that waits', () => {
    expect(refused('prod')).toMatchObject({ exitCode: 4 });
    expect(refused('').exitCode).toBe(4);
  });
});
