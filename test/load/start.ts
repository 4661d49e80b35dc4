/** From a submit to the request for its container, on an idle fleet. */
import Docker from 'dockerode';
import { setTimeout as pause } from 'node:timers/promises';
import { labelNames } from '../../agent/executor/docker-options.js';
import { resolveConnection } from '../../coordinator/cli/connection.js';
import { connect } from '../../coordinator/cli/grpc-client.js';
import { untilEnd, type Fleet } from './fleet.js';
import { ms, Samples, times, type Report } from './measure.js';
import { recordPort, type DockerSocket } from './recorded-socket.js';

export async function measureStart(options: {
  readonly fleet: Fleet;
  readonly socket: DockerSocket;
  readonly image: string;
  readonly rounds: number;
  readonly report: Report;
}): Promise<void> {
  const { fleet, socket, image, rounds, report } = options;
  const samples = new Samples();
  const daemon = new Docker();
  const pipeline = `image: ${image}\nstages:\n  only:\n    steps: ['true']\n`;
  const connection = resolveConnection({}, fleet.up.env);
  const coordinator = await recordPort(connection.address);
  const client = connect({ ...connection, address: coordinator.address });
  try {
    for (let round = -1; round < rounds; round += 1) {
      socket.clear();
      coordinator.clear();
      const { run, sentAt, answeredAt } = await fleet.submit(pipeline, client);
      const receivedAt = coordinator.times.find((at) => at >= sentAt) ?? NaN;
      const { endedAt, events } = await untilEnd(fleet.api, run);
      const first = (method: string, path: RegExp): number => {
        const found = socket.requests.find((one) => one.method === method && path.test(one.path));
        if (found === undefined) throw new Error(`the agent made no request ${method} ${path.source}`);
        return found.at;
      };
      const createAt = first('POST', /\/containers\/create/);
      const startAt = first('POST', /\/containers\/\w+\/start/);
      const stepAt = events.find(({ what, status }) => what === 'step' && status === 'running')?.at ?? NaN;
      const stepEndAt =
        events.find(({ what, status }) => what === 'step' && status === 'succeeded')?.at ?? NaN;
      await idle(daemon, run);
      // Bare calls, the same way, between the samples.
      const bareAt = performance.now();
      const bare = await daemon.createContainer({ Image: image, Cmd: ['true'] });
      const bareMs = performance.now() - bareAt;
      await bare.remove({ force: true });
      if (round < 0) continue; // Warms what a first run has to load.
      samples.add('bare create', bareMs);
      samples.add('received', createAt - receivedAt);
      samples.add('answer', answeredAt - sentAt);
      samples.add('create', createAt - sentAt);
      samples.add('start', startAt - createAt);
      samples.add('step', stepAt - startAt);
      samples.add('command', stepEndAt - stepAt);
      samples.add('end', endedAt - stepEndAt);
    }
  } finally {
    client.close();
    await coordinator.close();
  }
  const bare = samples.p50('bare create');
  const row = (what: string, name: string, target = ''): void =>
    report.add({
      what,
      measured: ms(samples.p50(name), samples.p99(name)),
      baseline: `bare create of a container ${ms(bare)}`,
      ratio: times(samples.p50(name) / bare),
      target,
    });
  row('submit at the coordinator → container requested, idle fleet, p50 / p99', 'received', '≤ 10 / 50 ms');
  row('… submit sent → container requested', 'create');
  row('… submit sent → answered, durable', 'answer');
  row('… container requested → its start requested', 'start');
  row('… start requested → first step reported to a watcher', 'step');
  row('… step reported → its end reported', 'command');
  row('… end of the last step → end of the run', 'end');
}

/** The run's box is gone: cleaning up after one must not be measured as a part of the next. */
async function idle(daemon: Docker, run: string): Promise<void> {
  for (;;) {
    const boxes = await daemon.listContainers({ all: true, filters: { label: [labelNames.attempt] } });
    if (!boxes.some(({ Labels: labels }) => labels[labelNames.attempt]?.startsWith(run))) return;
    await pause(50);
  }
}
