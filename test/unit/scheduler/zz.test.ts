import { test } from 'vitest';
import { Fleet } from './fleet.js';
import { outline } from './core.js';
test('stats', () => {
  const counts: Record<string, number> = {};
  for (let seed = 0; seed < 40; seed++) {
    const f = new Fleet({
      seed,
      chaosTicks: 600, pace: 0.05,
      agents: [1, 2, 3].map(() => ({ labels: ['os=linux'], slots: 2, projects: [] })),
      runs: [0, 1, 2, 3].map((i) => ({
        project: i % 2,
        isCanceled: i === 3,
        stages: [outline(1), outline(2), outline(3, { needs: [1] }), outline(4, { needs: [1, 2] })],
      })),
    });
    let revived = 0;
    let claims = 0;
    let epoch = 1;
    f.live((x) => {
      if ([...x.core.presence.agents.values()].some((a) => a.claims.size)) claims++;
    });
    const lost = new Set<number>();
    for (const e of f.events) {
      const k =
        e.kind === 'StageEnded'
          ? 'StageEnded ' + e.status + ' ' + (e.failure?.kind ?? '')
          : e.kind === 'AttemptReported'
            ? 'Rep ' + e.report.kind
            : e.kind === 'AttemptLost'
              ? 'Lost ' +
                JSON.stringify(e.failure)
                  .replace(/[a-p]{16}/, '')
                  .slice(0, 90)
              : e.kind;
      counts[k] = (counts[k] ?? 0) + 1;
      if (e.kind === 'AttemptLost') lost.add(e.token);
      if (e.kind === 'AttemptReported' && lost.delete(e.token) && e.report.kind !== 'LogsArchived')
        counts['revived'] = (counts['revived'] ?? 0) + 1;
    }
    counts['claims'] = (counts['claims'] ?? 0) + claims;
    counts['epochs'] =
      (counts['epochs'] ?? 0) + f.core.entries.filter((e) => e.events[0]?.kind === 'EpochBegan').length;
  }
  console.log(counts);
}, 60000);
