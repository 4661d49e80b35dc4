/** Which agents suit a stage: labels, project, trust. */
import type { RunFacts, Trust } from '../../shared/model/pipeline.js';

/** What an agent offers; agents that offer the same are interchangeable but for load and warmth. */
export interface Offering {
  readonly labels: readonly string[];
  /** Projects it may serve; empty: all. */
  readonly projects: readonly string[];
  readonly trust: readonly Trust[];
}

export function missingLabels(required: readonly string[], offered: readonly string[]): readonly string[] {
  return required.filter((label) => !offered.includes(label));
}

export const servesProject = (offering: Offering, project: string): boolean =>
  offering.projects.length === 0 || offering.projects.includes(project);

export const takesTrust = (offering: Offering, trust: Trust): boolean => offering.trust.includes(trust);

export function suits(
  offering: Offering,
  labels: readonly string[],
  facts: Pick<RunFacts, 'project' | 'trust'>,
): boolean {
  return (
    takesTrust(offering, facts.trust) &&
    servesProject(offering, facts.project) &&
    labels.every((label) => offering.labels.includes(label))
  );
}
