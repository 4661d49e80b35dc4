import { defineConfig } from 'vitest/config';

/**
 * One project per kind of proof. `unit` needs nothing but Node; `contract` and `integration` start real servers; `e2e` runs
 * the built programs as processes. Files of `contract` have the Docker daemon and the two cores to themselves, one after the
 * other. Those of `integration` and `e2e` mostly wait, so two run at once: each looks for its own containers, ports and
 * directories only.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        test: {
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 240_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
