/** Images of a run, from what its agents reported. */
import type { RecordedImage } from '../../shared/model/deployment.js';
import type { Report } from '../../shared/model/event.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import type { PlannedStage } from '../../shared/model/pipeline.js';
import type { RunEvent } from '../history/record.js';

type Resolved = Extract<Report, { kind: 'ImageResolved' }>;

interface Seen extends Resolved {
  readonly stage: number;
  readonly attempt: number;
}

const resolvedIn = (events: readonly RunEvent[]): readonly Seen[] =>
  events.flatMap(({ event }) =>
    event.kind === 'AttemptReported' && event.report.kind === 'ImageResolved'
      ? [{ ...event.report, stage: event.stage, attempt: event.attempt }]
      : [],
  );

/** What the attempt has built, each reference once. */
export function builtBy(
  events: readonly RunEvent[],
  { stage, attempt }: AttemptRef,
): readonly RecordedImage[] {
  const built = new Map<string, string>();
  for (const seen of resolvedIn(events)) {
    if (seen.stage === stage && seen.attempt === attempt && seen.built === true)
      built.set(seen.image, seen.digest);
  }
  return [...built].map(([name, resolved]) => ({ name, digest: digestOf(resolved) }));
}

/** `sha256:…`, also of `name@sha256:…`: where it was pulled from is not what it is. */
const digestOf = (resolved: string): string => resolved.slice(resolved.lastIndexOf('@') + 1);

/** What each reference means in the run: what was built under it, else what it was resolved to first. */
export function pinsOf(events: readonly RunEvent[]): ReadonlyMap<string, string> {
  const pins = new Map<string, string>();
  for (const { image, digest, built } of resolvedIn(events)) {
    if (built === true || !pins.has(image)) pins.set(image, digest);
  }
  return pins;
}

/**
 * The stage with its images by digest, as far as the run knows them. One that has no registry's digest is known on its agent
 * alone, under its name.
 */
export function pinned(stage: PlannedStage, pins: ReadonlyMap<string, string>): PlannedStage {
  const pin = (image: string): string => {
    const resolved = pins.get(image);
    return resolved?.includes('@') === true ? resolved : image;
  };
  return {
    ...stage,
    ...(stage.image === undefined ? {} : { image: pin(stage.image) }),
    services: stage.services.map((service) => ({ ...service, image: pin(service.image) })),
  };
}
