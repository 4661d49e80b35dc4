/** A gate as people see it in a terminal. */
import type { EndedEntryView, GateEntryView } from '../../../shared/model/gate-view.js';
import { age, count, shorten, table } from '../format.js';
import { colors, type Colors } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';
import type { NamedGateView } from './gate-from-wire.js';

const shownEnded = 10;

export function gateTable(gates: readonly NamedGateView[], color: boolean): string[] {
  const paint = colors(color);
  return table([
    ['PROJECT', 'TARGET', 'QUEUED', 'TIP', ''].map((word) => paint.dim(word)),
    ...gates.map(({ projectName, target, entries, tip, paused }) => [
      printable(projectName),
      paint.bold(printable(target)),
      String(entries.length),
      tip?.slice(0, 12) ?? '',
      paused === null ? '' : paint.yellow(`stands still: ${shorten(printable(paused.reason), 80)}`),
    ]),
  ]);
}

export function gateText(
  gate: NamedGateView,
  at: { readonly now: number; readonly color: boolean },
): string[] {
  const paint = colors(at.color);
  const { projectName, target, tip, paused, notes, entries, ended } = gate;
  const lines = [
    `${paint.bold(printable(projectName))} ${printable(target)}${tip === null ? '' : paint.dim(` at ${tip.slice(0, 12)}`)}`,
  ];
  if (paused !== null) {
    lines.push(
      paint.yellow(
        `  stands still since ${age(Date.parse(paused.since), at.now)}: ${printable(paused.reason)}`,
      ),
    );
  }
  for (const note of notes) lines.push(paint.yellow(`  ${printable(note)}`));
  if (entries.length === 0) lines.push('  nothing is queued');
  for (const entry of entries) lines.push(...queuedLines(entry, paint, at.now));
  if (ended.length > 0) lines.push('', paint.dim('  of late'));
  lines.push(...table(ended.slice(0, shownEnded).map((entry) => endedRow(entry, paint, at.now))));
  return lines;
}

function queuedLines(entry: GateEntryView, paint: Colors, now: number): string[] {
  const { place, source, title, status, run, by, queuedAt, rebuilds, waitingFor } = entry;
  const built = rebuilds === 0 ? '' : `, built again ${count(rebuilds, 'time')}`;
  return [
    `  ${place}. ${paint.bold(printable(source))} ${paint.cyan(status)}${run === null ? '' : ` run ${run.slice(0, 8)}`}`,
    `     ${shorten(printable(title), 100)}`,
    paint.dim(
      `     ${entry.entry.slice(0, 8)} by ${printable(by)}, ${age(Date.parse(queuedAt), now)}${built}`,
    ),
    ...waitingFor.map((reason) => `     ${printable(reason)}`),
  ];
}

function endedRow(
  { source, status, reason, endedAt, run }: EndedEntryView,
  paint: Colors,
  now: number,
): string[] {
  return [
    `  ${printable(source)}`,
    status === 'ejected' ? paint.red(status) : paint.green(status),
    age(Date.parse(endedAt), now),
    run === null ? '' : run.slice(0, 8),
    shorten(printable(reason.split('\n')[0] ?? ''), 120),
  ];
}
