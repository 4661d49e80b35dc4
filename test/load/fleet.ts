/** An installation under load: started by `gantry up` from the built programs, spoken to by gRPC as the CLI does. */
import { rm } from 'node:fs/promises';
import { resolveConnection } from '../../coordinator/cli/connection.js';
import { connect, type RunsApi } from '../../coordinator/cli/grpc-client.js';
import { createOutput } from '../../coordinator/cli/output.js';
import { newRunId } from '../../coordinator/cli/submit/submit-run.js';
import { sendTree } from '../../coordinator/cli/submit/send-tree.js';
import { describeTree } from '../../coordinator/source/git-tree.js';
import type { BundleSource } from '../../shared/wire/gen/gantry/v1/BundleSource.js';
import { makeTree, startUp, type Up } from '../support/installation.js';

export interface StageEvent {
  /** `performance.now()` when it arrived here. */
  readonly at: number;
  readonly what: 'stage' | 'step' | 'run';
  readonly status: string;
  /** Of a step. */
  readonly step: number;
}

export interface Ended {
  readonly run: string;
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly endedAt: number;
  readonly events: readonly StageEvent[];
}

export interface Fleet {
  readonly up: Up;
  readonly api: RunsApi;
  /** Asks for a run of this pipeline, by another way if one is given; resolves with its answer. */
  submit(
    pipeline: string,
    by?: RunsApi,
  ): Promise<{ readonly run: string; readonly sentAt: number; readonly answeredAt: number }>;
  /** The same, then waits for its end; throws if it does not succeed. */
  run(pipeline: string): Promise<Ended>;
  stop(): Promise<void>;
}

export async function startFleet(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Fleet> {
  const nodeOptions = process.env['GANTRY_BENCH_NODE_OPTIONS'];
  const up = await startUp(args, {
    ...env,
    ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
  });
  const api = connect(resolveConnection({}, up.env));
  const tree = await makeTree({ 'README.md': 'a small tree\n' });
  const signal = new AbortController().signal;
  const sent = await sendTree({
    api,
    output: createOutput({ json: false }),
    tree: await describeTree(tree),
    ca: undefined,
    signal,
  });
  await rm(tree, { recursive: true, force: true });
  const submit: Fleet['submit'] = (pipeline, by = api) => send(by, sent.source, pipeline);
  return {
    up,
    api,
    submit,
    run: async (pipeline) => {
      const { run, sentAt, answeredAt } = await submit(pipeline);
      return { run, sentAt, answeredAt, ...(await untilEnd(api, run)) };
    },
    stop: async () => {
      api.close();
      await up.stop();
    },
  };
}

async function send(api: RunsApi, source: BundleSource, pipelineText: string): ReturnType<Fleet['submit']> {
  const run = newRunId();
  const sentAt = performance.now();
  await api.submit({
    run,
    bundle: source,
    pipelineText,
    pipelineFile: '.gantry.yml',
    branch: 'main',
    env: {},
    inputs: {},
    stages: [],
  });
  return { run, sentAt, answeredAt: performance.now() };
}

export async function untilEnd(api: RunsApi, run: string): Promise<Pick<Ended, 'endedAt' | 'events'>> {
  const events: StageEvent[] = [];
  let status = '';
  for await (const { state, stage, step, run: whole } of api.watch({ run: { run }, afterSequence: 0 })) {
    const at = performance.now();
    if (stage) events.push({ at, what: 'stage', status: stage.status ?? '', step: 0 });
    if (step) events.push({ at, what: 'step', status: step.status ?? '', step: step.step ?? 0 });
    if (whole) events.push({ at, what: 'run', status: whole.status ?? '', step: 0 });
    status = whole?.status ?? state?.status ?? status;
    if (['succeeded', 'failed', 'canceled'].includes(status)) break;
  }
  if (status !== 'succeeded') throw new Error(`run ${run} ended as ${status}`);
  return { endedAt: performance.now(), events };
}
