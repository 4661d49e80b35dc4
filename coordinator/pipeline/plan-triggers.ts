import type { Findings } from './findings.js';
import { find, keyRangeOf, type Located, type LocatedScalar } from './located.js';
import { wrongPattern, type PatternUse } from './patterns.js';
import type { Pipeline } from './schema.js';
import { defaultTriggers, type TriggerEvent, type TriggerRules } from './trigger-rules.js';

interface Planning {
  readonly pipeline: Pipeline;
  readonly root: Located;
  readonly findings: Findings;
}

/** What `on` says, complete. Reports patterns that can match nothing and those that nobody asks. */
export function planTriggers({ pipeline, root, findings }: Planning): TriggerRules {
  const { on } = pipeline;
  if (on === undefined) return defaultTriggers;
  if (typeof on === 'string') return { events: [on] };
  if (Array.isArray(on)) return { events: unique(on) };
  const branches = patternsAt('branches', 'refs', { root, findings });
  const tags = patternsAt('tags', 'refs', { root, findings });
  const paths = patternsAt('paths', 'paths', { root, findings });
  const named = on.events === undefined ? defaultTriggers.events : [on.events].flat();
  const events = unique<TriggerEvent>([...named, ...(tags === undefined ? [] : (['tag'] as const))]);
  const code = !events.includes('push') && !events.includes('change');
  for (const key of ['branches', 'paths'] as const) {
    if (on[key] === undefined || !code) continue;
    const message = `\`${key}\` has no effect: \`events\` has neither push nor change`;
    findings.warn(keyRangeOf(root, ['on', key]), message);
  }
  return {
    events,
    ...(branches === undefined ? {} : { branches }),
    ...(tags === undefined ? {} : { tags }),
    ...(paths === undefined ? {} : { paths }),
  };
}

function patternsAt(
  key: 'branches' | 'tags' | 'paths',
  use: PatternUse,
  { root, findings }: Pick<Planning, 'root' | 'findings'>,
): readonly string[] | undefined {
  const written = find(root, ['on', key]);
  if (written === undefined) return undefined;
  const items = written.kind === 'list' ? written.items : [written];
  const scalars = items.filter((item): item is LocatedScalar => item.kind === 'scalar');
  for (const { text, range } of scalars) {
    const wrong = wrongPattern(text, use);
    if (wrong !== undefined) findings.error(range, wrong.message, wrong.hint);
  }
  return scalars.map((scalar) => scalar.text);
}

const unique = <T>(items: readonly T[]): readonly T[] => [...new Set(items)];
