/**
 * `npm run bench [-- SECTION…]`: what Gantry costs beside doing the same without it, measured in turns in one run and
 * printed as a Markdown table. Sections: start stages line flood artifacts host docker
 * scheduling core; all without arguments.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureTestImage } from '../support/images.js';
import { measureArtifacts } from './artifacts.js';
import { measureCore } from './core.js';
import { recordDocker } from './recorded-socket.js';
import { startFleet } from './fleet.js';
import { measureFlood, measureLine } from './logs.js';
import { Report } from './measure.js';
import { measureScheduling } from './scheduling.js';
import { measureStages } from './stages.js';
import { measureStart } from './start.js';
import { measureThroughput } from './throughput.js';

const sections = [
  'start',
  'stages',
  'line',
  'flood',
  'artifacts',
  'host',
  'docker',
  'scheduling',
  'core',
] as const;
type Section = (typeof sections)[number];

/** Multiplies the number of rounds; a quiet machine deserves more than 1. */
const scale = Number(process.env['GANTRY_BENCH_SCALE'] ?? 1);
const rounds = (usual: number): number => Math.max(1, Math.round(usual * scale));

function chosen(): ReadonlySet<Section> {
  const asked = process.argv.slice(2);
  const unknown = asked.find((one) => !sections.some((section) => section === one));
  if (unknown !== undefined || !(scale > 0)) {
    throw new Error(
      `usage: npm run bench [-- ${sections.join(' | ')} …], GANTRY_BENCH_SCALE a number above 0`,
    );
  }
  return new Set(asked.length === 0 ? sections : sections.filter((section) => asked.includes(section)));
}

async function main(): Promise<void> {
  const wanted = chosen();
  const report = new Report();
  const isContained = [...wanted].some((one) => one !== 'scheduling' && one !== 'core');
  const image = isContained ? await ensureTestImage('bash') : '';
  if (['start', 'stages', 'line', 'flood', 'artifacts'].some((one) => wanted.has(one as Section))) {
    await measureOneAgent(wanted, image, report);
  }
  if (wanted.has('host')) await measureThroughput({ executor: 'host', image, stages: rounds(200), report });
  if (wanted.has('docker'))
    await measureThroughput({ executor: 'docker', image, stages: rounds(24), report });
  if (wanted.has('scheduling')) await measureScheduling({ runs: rounds(60), stagesPerRun: 250, report });
  if (wanted.has('core')) await measureCore({ agents: 10_000, waiting: 1_000_000, report });
  process.stdout.write(`${report.markdown()}\n${cpus().length} cores, Node ${process.versions.node}.\n`);
}

async function measureOneAgent(wanted: ReadonlySet<Section>, image: string, report: Report): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-bench-'));
  const socket = await recordDocker(directory);
  try {
    const fleet = await startFleet(['--agents', '1', '--slots', '2'], { DOCKER_HOST: socket.host });
    const common = { fleet, image, report };
    try {
      if (wanted.has('start')) await measureStart({ ...common, socket, rounds: rounds(20) });
      if (wanted.has('stages')) await measureStages({ ...common, rounds: rounds(8) });
      if (wanted.has('line')) await measureLine(common);
      if (wanted.has('flood')) await measureFlood({ ...common, rounds: rounds(3) });
      if (wanted.has('artifacts')) await measureArtifacts({ ...common, rounds: rounds(5) });
    } finally {
      await fleet.stop();
    }
  } finally {
    await socket.close();
    await rm(directory, { recursive: true, force: true });
  }
}

await main();
