/**
 * The audit's rows, the newest of them, filled from committed entries: what the journal still has is here again after a
 * restart.
 */
import type { Entry, Event } from '../../shared/model/event.js';
import type { AgentId, ProjectId, RunId } from '../../shared/model/ids.js';
import { auditRowOf, moverOf, type AuditNames, type AuditProject, type AuditRow } from './audit-rows.js';

export const maxAuditRows = 10_000;
/** Removed at once, so that not each new row moves all others. */
const slack = 1_000;

export interface AuditQuery {
  readonly by: string;
  /** The action's beginning, whole words of it: `token`, `run.cancel`. */
  readonly action: string;
  readonly filter: (row: AuditRow) => boolean;
  readonly limit: number;
  /** Where a page ended, as it was given; undefined: from the newest on. */
  readonly before?: { readonly sequence: number; readonly place: number };
}

export class AuditLog {
  /** Oldest first. */
  readonly #rows: AuditRow[] = [];
  readonly #names = new Names();
  #last = 0;

  /** Takes every entry in order, replayed ones too; a replay that is repeated begins anew. */
  take(sequence: number, entry: Entry): void {
    if (sequence <= this.#last) {
      this.#rows.length = 0;
      this.#names.clear();
    }
    this.#last = sequence;
    for (const [place, event] of entry.events.entries()) {
      const row = auditRowOf(event, this.#names);
      if (row !== undefined) this.#rows.push({ ...row, sequence, place, at: entry.at });
      this.#names.take(event);
    }
    if (this.#rows.length > maxAuditRows + slack) this.#rows.splice(0, this.#rows.length - maxAuditRows);
  }

  /** Newest first. */
  list(query: AuditQuery): { readonly rows: readonly AuditRow[]; readonly hasMore: boolean } {
    const { by, action, filter, limit, before } = query;
    const rows: AuditRow[] = [];
    const oldest = Math.max(0, this.#rows.length - maxAuditRows);
    for (let index = this.#rows.length - 1; index >= oldest; index -= 1) {
      const row = this.#rows[index];
      if (row === undefined || (before !== undefined && !isBefore(row, before))) continue;
      if (by !== '' && row.by !== by) continue;
      if (action !== '' && row.action !== action && !row.action.startsWith(`${action}.`)) continue;
      if (!filter(row)) continue;
      if (rows.length === limit) return { rows, hasMore: true };
      rows.push(row);
    }
    return { rows, hasMore: false };
  }
}

const isBefore = (row: AuditRow, place: { readonly sequence: number; readonly place: number }): boolean =>
  row.sequence < place.sequence || (row.sequence === place.sequence && row.place < place.place);

/** Bounded by what is in the state: what leaves it is forgotten here too. */
class Names implements AuditNames {
  readonly #agents = new Map<AgentId, string>();
  readonly #projects = new Map<ProjectId, string>();
  readonly #runs = new Map<RunId, AuditProject>();
  readonly #pushers = new Map<RunId, string>();

  agent(agent: AgentId): string {
    return this.#agents.get(agent) ?? agent;
  }
  project(project: ProjectId): AuditProject {
    return { id: project, name: this.#projects.get(project) ?? project };
  }
  projectOfRun(run: RunId): AuditProject | undefined {
    return this.#runs.get(run);
  }
  pusher(run: RunId): string {
    return this.#pushers.get(run) ?? 'a push';
  }
  isKnown(project: ProjectId): boolean {
    return this.#projects.has(project);
  }

  take(event: Event): void {
    switch (event.kind) {
      case 'AgentRegistered':
        this.#agents.set(event.agent, event.name);
        return;
      case 'AgentForgotten':
        this.#agents.delete(event.agent);
        return;
      case 'ProjectSet':
        this.#projects.set(event.project.id, event.project.name);
        return;
      case 'ProjectRemoved':
        this.#projects.delete(event.project);
        return;
      case 'RunAccepted':
        this.#runs.set(event.run, { id: event.facts.project, name: event.facts.projectName });
        this.#pushers.delete(event.run);
        return;
      case 'RunRecorded':
        this.#runs.delete(event.run);
        return;
      case 'RefsMoved':
        for (const { run, asks } of event.moves) if (asks) this.#pushers.set(run, moverOf(event.source));
        return;
      case 'TriggerSettled':
        this.#pushers.delete(event.run);
        return;
      default:
        return;
    }
  }

  clear(): void {
    for (const map of [this.#agents, this.#projects, this.#runs, this.#pushers]) map.clear();
  }
}
