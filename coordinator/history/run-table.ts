/**
 * Finished runs in memory, newest first: by the time they were submitted, and where that is equal by id. A row is kept
 * as its JSON and parsed when it is asked for (2 µs), so that a hundred thousand runs take some 80 MB and no time of the
 * garbage collector.
 */
import type { ProjectId, RunId } from '../../shared/model/ids.js';
import type { FinishedRun, RunIndex } from './run-index.js';

export interface StoredRow {
  readonly run: RunId;
  readonly project: ProjectId;
  readonly sequence: number;
  readonly json: Buffer;
}

export interface RunTable {
  /** The newer of two rows of a run counts: greater sequence. Ignores what is no row. */
  take(row: StoredRow): void;
  /** 0 when there is none, as JetStream's expected subject sequence has it. */
  sequenceOf(run: RunId): number;
  get(run: RunId): FinishedRun | undefined;
  find(prefix: string, limit: number, filter?: (run: FinishedRun) => boolean): readonly FinishedRun[];
  list(query: Parameters<RunIndex['list']>[0]): {
    readonly runs: readonly FinishedRun[];
    readonly cursor?: string;
  };
  readonly size: number;
}

interface Place {
  readonly submitted: number;
  readonly run: RunId;
}

export function createRunTable(): RunTable {
  const rows = new Map<RunId, StoredRow & { readonly submitted: number }>();
  /** Oldest first: new rows belong near the end, where inserting is cheap. */
  const order: Place[] = [];

  const parse = (row: StoredRow): FinishedRun => {
    // Only coordinators write here; the run's id was compared with its subject when the row was taken.
    return JSON.parse(row.json.toString()) as FinishedRun;
  };
  /** First index whose place is not before the one given. */
  const indexOf = (place: Place): number => {
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const there = order[middle];
      if (there !== undefined && compare(there, place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    take(row) {
      const known = rows.get(row.run);
      if (known !== undefined && known.sequence >= row.sequence) return;
      const submitted = submittedAt(row);
      if (submitted === undefined) return;
      if (known !== undefined && known.submitted !== submitted) order.splice(indexOf(known), 1);
      rows.set(row.run, { ...row, submitted });
      if (known?.submitted !== submitted) {
        const place = { submitted, run: row.run };
        order.splice(indexOf(place), 0, place);
      }
    },
    sequenceOf: (run) => rows.get(run)?.sequence ?? 0,
    get(run) {
      const row = rows.get(run);
      return row === undefined ? undefined : parse(row);
    },
    find(prefix, limit, filter = () => true) {
      const found: FinishedRun[] = [];
      for (let index = order.length - 1; index >= 0 && found.length < limit; index--) {
        const place = order[index];
        const row = place?.run.startsWith(prefix) === true ? rows.get(place.run) : undefined;
        const run = row === undefined ? undefined : parse(row);
        if (run !== undefined && filter(run)) found.push(run);
      }
      return found;
    },
    list({ project, limit, before, filter }) {
      const cursor = before === undefined ? undefined : parseCursor(before);
      const runs: FinishedRun[] = [];
      let index = (cursor === undefined ? order.length : indexOf(cursor)) - 1;
      let last: Place | undefined;
      for (; index >= 0 && runs.length < limit; index--) {
        const place = order[index];
        const row = place === undefined ? undefined : rows.get(place.run);
        if (row === undefined || (project !== undefined && row.project !== project)) continue;
        const run = parse(row);
        if (!filter(run)) continue;
        runs.push(run);
        last = place;
      }
      // A full page may be the last one; then the next is empty.
      return index < 0 || last === undefined ? { runs } : { runs, cursor: cursorOf(last) };
    },
    get size() {
      return rows.size;
    },
  };
}

const compare = (a: Place, b: Place): number =>
  a.submitted - b.submitted || (a.run < b.run ? -1 : a.run > b.run ? 1 : 0);

function submittedAt(row: StoredRow): number | undefined {
  try {
    const value: unknown = JSON.parse(row.json.toString());
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('run' in value) || value.run !== row.run) return undefined;
    if (!('submittedAt' in value) || typeof value.submittedAt !== 'string') return undefined;
    const time = Date.parse(value.submittedAt);
    return Number.isNaN(time) ? undefined : time;
  } catch {
    return undefined; // no JSON: not a row
  }
}

const cursorOf = (place: Place): string =>
  Buffer.from(`${place.submitted}.${place.run}`).toString('base64url');

/** Throws BadCursor for what no page gave. */
function parseCursor(text: string): Place {
  const match = /^(\d+)\.([a-z2-7]{16})$/.exec(Buffer.from(text, 'base64url').toString());
  if (match?.[1] === undefined || match[2] === undefined) throw new BadCursor();
  // The pattern is the one of a RunId.
  return { submitted: Number(match[1]), run: match[2] as RunId };
}

export class BadCursor extends Error {
  override readonly name = 'BadCursor';
  constructor() {
    super('this cursor was not given by an earlier page');
  }
}
