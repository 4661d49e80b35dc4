/** Follows one entry of a gate's queue to its end. */
import { sleep } from '../../../shared/async/sleep.js';
import type { EndedEntryView, GateEntryView } from '../../../shared/model/gate-view.js';
import { UnreachableError } from '../cli-error.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import type { Session } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { gateFromWire } from './gate-from-wire.js';

const everyMs = 1_000;
/** How long a coordinator may be away: restarts and failovers take seconds. */
const patienceMs = 60_000;

export interface WatchedEntry {
  readonly project: string;
  readonly target: string;
  readonly entry: string;
}

export async function watchEntry(
  { api, output }: Session,
  { project, target, entry }: WatchedEntry,
  signal: AbortSignal,
): Promise<ExitCode> {
  let shown = '';
  let lastHeard = Date.now();
  while (!signal.aborted) {
    try {
      const gate = gateFromWire(await api.gate.show({ project: { project }, target }));
      lastHeard = Date.now();
      const ended = gate.ended.find((other) => other.entry === entry);
      if (ended !== undefined) return showEnd(output, ended, target);
      const queued = gate.entries.find((other) => other.entry === entry);
      if (queued === undefined) {
        output.note(
          `${entry} is not in the queue of ${printable(target)} any more: see \`gantry gate show\``,
        );
        return exitCodes.notFound;
      }
      const text = describe(queued, gate.paused?.reason);
      if (text !== shown) {
        if (output.json) output.data(queued);
        else output.note(text);
      }
      shown = text;
    } catch (error) {
      if (!(error instanceof UnreachableError) || Date.now() - lastHeard > patienceMs) throw error;
    }
    await sleep(everyMs, signal).catch(() => undefined);
  }
  output.note('interrupted; the entry stays in the queue: `gantry gate show`');
  return exitCodes.interrupted;
}

function describe({ place, status, run, waitingFor }: GateEntryView, paused: string | undefined): string {
  const where = place === 1 ? 'first in the queue' : `number ${place} in the queue`;
  const tested = run === null ? '' : ` (run ${run.slice(0, 8)})`;
  const reasons = paused === undefined ? waitingFor : [`the gate stands still: ${paused}`];
  return printable(`${where}, ${status}${tested}${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}`);
}

function showEnd(output: Session['output'], ended: EndedEntryView, target: string): ExitCode {
  const { status, reason, landedAs, run } = ended;
  if (output.json) output.data(ended);
  else if (landedAs !== null) output.line(`landed on ${printable(target)} as ${landedAs}`);
  else
    output.line(
      `${status === 'ejected' ? 'not integrated' : 'nothing to do'}: ${reason.split('\n').map(printable).join('\n')}`,
    );
  if (status !== 'ejected') return exitCodes.done;
  if (!output.json && run !== null) output.note(`  gantry logs ${run.slice(0, 8)}    what its run wrote`);
  return exitCodes.runFailed;
}
