/** What `gantry doctor` says of feedback: is mail on, and which targets are dead. */
import type { DeliveryHealth, LaneHealth } from './health.js';

export interface FeedbackFinding {
  readonly name: string;
  readonly level: 'ok' | 'warning';
  readonly message: string;
  readonly remedy: string;
}

export interface FeedbackState {
  readonly health: Pick<DeliveryHealth, 'lanes'>;
  readonly hasMail: boolean;
  readonly projects: number;
  /** Wall ms. */
  readonly now: number;
}

export function diagnoseFeedback(state: FeedbackState): readonly FeedbackFinding[] {
  const lanes = state.health.lanes();
  const findings = lanes.map((lane) => findingOf(lane, state.now));
  if (!state.hasMail) {
    if (state.projects === 0) return findings;
    return [
      {
        name: 'mail',
        level: 'warning',
        message: 'no --smtp is given: mail is off, nobody is told by mail when a run fails',
        remedy: 'start with --smtp smtp://HOST:PORT (or GANTRY_SMTP, where it holds a password)',
      },
      ...findings.filter(({ name }) => name !== 'mail'),
    ];
  }
  if (lanes.some(({ lane }) => lane === 'mail')) return findings;
  return [{ name: 'mail', level: 'ok', message: 'no mail was due since the start', remedy: '' }, ...findings];
}

function findingOf({ lane, failing, lastSuccessAt, refused }: LaneHealth, now: number): FeedbackFinding {
  const last = lastSuccessAt === undefined ? 'never since the start' : ago(lastSuccessAt, now);
  if (failing !== undefined) {
    return {
      name: lane,
      level: 'warning',
      message: `nothing gets through since ${ago(failing.since, now)} (${failing.attempts} tries, last success ${last}): ${failing.message}`,
      remedy: 'it is tried again for 24 hours; mend the target or its settings',
    };
  }
  const newest = refused.at(-1);
  if (newest !== undefined) {
    const others = refused.length > 1 ? ` (and ${refused.length - 1} more)` : '';
    return {
      name: lane,
      level: 'warning',
      message: `${newest.target} was not told ${ago(newest.at, now)}${others}: ${newest.message}`,
      remedy: 'it is not tried again for that run; correct the address or the webhook',
    };
  }
  return { name: lane, level: 'ok', message: `last success ${last}`, remedy: '' };
}

function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}
