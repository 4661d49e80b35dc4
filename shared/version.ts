import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The version of the installed package, from its `package.json`. */
export function gantryVersion(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (typeof parsed === 'object' && parsed !== null && 'name' in parsed && parsed.name === 'gantry') {
        return 'version' in parsed && typeof parsed.version === 'string' ? parsed.version : 'unknown';
      }
    } catch {
      // No package.json here, or of something else: look one level up.
    }
  }
  return 'unknown';
}
