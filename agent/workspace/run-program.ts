import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a program of the system without input and output; tells whether it ended with code 0. */
export async function runs(program: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(program, args, { stdio: 'ignore' });
  try {
    const [code] = (await once(child, 'close')) as [number | null]; // the arguments of `close`
    return code === 0;
  } catch {
    return false; // the program could not be started
  }
}
