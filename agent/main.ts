#!/usr/bin/env node
/** `gantry-agent`: reads the configuration and runs an agent with it. */
import { gantryVersion } from '../shared/version.js';
import { parseConfig } from './config.js';
import { exitCodes, type ExitCode } from './exit-codes.js';
import { keepHeapSmall } from './host/memory.js';

async function main(argv: readonly string[]): Promise<ExitCode> {
  const version = gantryVersion();
  const parsed = parseConfig(argv, process.env, version);
  switch (parsed.kind) {
    case 'said':
      process.stdout.write(parsed.text);
      return exitCodes.ended;
    case 'wrong':
      for (const problem of parsed.problems) process.stderr.write(`gantry-agent: ${problem}\n`);
      process.stderr.write('  → gantry-agent --help shows the flags and an example\n');
      return exitCodes.wrongUsage;
    case 'config': {
      keepHeapSmall();
      // Loaded only now, so that even loading it happens on the small heap.
      const { run } = await import('./serve.js');
      return run(parsed.config, version);
    }
  }
}

// Whatever still waits somewhere (a step that was left running is followed by timers) belongs to the next process.
process.exit(await main(process.argv.slice(2)));
