/** The gates in the scheduler's state: what is wanted runs, what ended is told, what is removed is forgotten. */
import { describe, expect, it } from 'vitest';
import { emptyPresence, type Presence } from '../../../coordinator/scheduler/presence.js';
import type { Answer, Command, Effect } from '../../../coordinator/scheduler/command.js';
import { decide } from '../../../coordinator/scheduler/decide.js';
import { freshRunId } from '../../../coordinator/scheduler/fresh-id.js';
import { handle } from '../../../coordinator/scheduler/handle.js';
import { emptyState, type State } from '../../../coordinator/scheduler/state.js';
import { parseGateEntryId, type Candidate } from '../../../shared/model/gate.js';
import {
  parseCommitId,
  parseProjectId,
  parseRunId,
  parseSha256,
  type RunId,
} from '../../../shared/model/ids.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';

const project = parseProjectId('p'.repeat(16))!;
const entry = parseGateEntryId('e'.repeat(16))!;
const commitOf = (digit: string) => parseCommitId(digit.repeat(40))!;
const digest = parseSha256('d'.repeat(64))!;
const run = parseRunId('r'.repeat(16))!;
const [tip, change, merged] = [commitOf('1'), commitOf('2'), commitOf('3')];
const at = { project, target: 'main' };
const candidate: Candidate = { commit: merged, base: tip, run, bundle: { digest, bytes: 1, shallow: [] } };

class World {
  readonly state: State = emptyState();
  readonly presence: Presence;
  ms = 1_000_000;

  constructor() {
    this.presence = emptyPresence(this.now);
    this.tell({
      kind: 'SetProject',
      project: {
        id: project,
        name: 'app',
        url: '/srv/app.git',
        settings: { ...defaultProjectSettings, gate: { require: ['test'] } },
      },
      isNew: true,
      by: 'ada',
    });
  }

  get now() {
    return { wallMs: this.ms, monotonicMs: this.ms };
  }

  tell(command: Command): Answer {
    return handle(this.state, this.presence, command, this.now).answer;
  }

  gate(command: Extract<Command, { kind: 'Gate' }>['command']): void {
    this.tell({ kind: 'Gate', command });
  }

  /** What the gates ask for. */
  turn(): readonly Extract<Effect, { kind: 'Gate' }>['effect'][] {
    this.ms += 1;
    return decide(this.state, this.presence, this.now).effects.flatMap((effect) =>
      effect.kind === 'Gate' ? [effect.effect] : [],
    );
  }

  /** Up to the run that tests the change. */
  queued(): void {
    this.gate({
      kind: 'Land',
      ...at,
      entry,
      commit: change,
      source: { kind: 'branch', ref: 'refs/heads/login' },
      title: 't',
      by: 'ada',
    });
    const look = this.turn().find((effect) => effect.kind === 'FetchToVerify')!;
    const seen = { kind: 'fetched', tip, isForward: true, containsCandidate: false, by: [] } as const;
    this.gate({ kind: 'FetchAnswered', ...at, doubt: look.doubt, answer: seen });
    expect(this.turn().map(({ kind }) => kind)).toEqual(['Merge']);
    this.gate({ kind: 'MergeAnswered', ...at, entry, base: tip, answer: { kind: 'merged', candidate } });
    expect(this.turn().map(({ kind }) => kind)).toEqual(['StartRun']);
  }

  submit(id: RunId): Answer {
    return this.tell({
      kind: 'Submit',
      run: id,
      digest,
      facts: {
        event: 'gate',
        trust: 'change',
        project,
        projectName: 'app',
        commit: merged,
        title: 't',
        by: 'ada',
        inputs: {},
      },
      stages: [
        {
          number: 1,
          name: 'test',
          cell: {},
          needs: [],
          labels: [],
          allowFailure: false,
          maxAttempts: 1,
          timeoutMs: 1,
          steps: ['a'],
        },
      ],
    });
  }
}

describe('A run of the gate', () => {
  it('begins only while an entry waits for it', () => {
    const world = new World();
    world.queued();
    expect(world.submit(parseRunId('s'.repeat(16))!)).toMatchObject({ kind: 'refused' });
    expect(world.submit(run)).toMatchObject({ kind: 'accepted', again: false });
    world.gate({ kind: 'Eject', ...at, entry, by: 'ada' });
    expect(world.submit(run)).toMatchObject({ kind: 'accepted', again: true });
  });

  it('is told to its gate in the turn it ends in, and nobody else hears of it', () => {
    const world = new World();
    world.queued();
    world.submit(run);
    world.gate({ kind: 'RunStarted', run });
    world.turn();
    world.tell({ kind: 'Cancel', run, by: 'grace' });
    world.turn();
    const [gate] = world.state.gates.all.values();
    expect(gate?.entries).toEqual([]);
    expect(gate?.ended[0]?.end).toMatchObject({
      kind: 'ejected',
      ejection: { kind: 'run-canceled', run, by: 'grace' },
    });
    expect(world.state.outbox.size).toBe(0);
  });

  it('is forgotten with its project', () => {
    const world = new World();
    world.queued();
    world.tell({ kind: 'RemoveProject', project, by: 'ada' });
    expect(world.turn()).toEqual([]);
    expect(world.state.gates.all.size + world.state.gates.runs.size + world.presence.gates.wakes.size).toBe(
      0,
    );
    expect(world.submit(run)).toMatchObject({ kind: 'refused' });
  });
});

it('fresh run ids are the same for the same text, and others for every other', () => {
  const seed = '0123456789abcdef0123456789abcdef';
  const ids = new Set(Array.from({ length: 50_000 }, (_, n) => freshRunId(`${seed}/${n}/again`)));
  expect(ids.size).toBe(50_000);
  expect(freshRunId(`${seed}/7/again`)).toBe(freshRunId(`${seed}/7/again`));
});
