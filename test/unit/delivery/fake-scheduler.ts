/** As much of the scheduler as delivery sees, by the rules that `coordinator/delivery/README.md` has for it. */
import type { AttemptEnd, StageRef, StageSight } from '../../../coordinator/delivery/command.js';
import type { RunId, Token } from '../../../shared/model/ids.js';

export type Fact =
  | { readonly kind: 'stage-added'; readonly at: StageRef }
  | { readonly kind: 'leased'; readonly at: StageRef; readonly token: Token }
  | { readonly kind: 'started'; readonly token: Token }
  | { readonly kind: 'lost'; readonly token: Token }
  | { readonly kind: 'finished'; readonly token: Token; readonly end: AttemptEnd }
  | { readonly kind: 'cancel-asked'; readonly run: RunId; readonly by: string }
  | {
      readonly kind: 'stage-ended';
      readonly at: StageRef;
      readonly status: 'succeeded' | 'failed' | 'canceled';
    };

export interface FakeAttempt {
  readonly token: Token;
  readonly number: number;
  phase: 'leased' | 'running' | 'lost' | 'finished';
  hasStarted: boolean;
  end: AttemptEnd | undefined;
}

export interface FakeStage {
  readonly at: StageRef;
  readonly attempts: FakeAttempt[];
  canceledBy: string | undefined;
  ended: 'succeeded' | 'failed' | 'canceled' | undefined;
}

export const keyOf = ({ run, stage }: StageRef): string => `${run}/${stage}`;

export class FakeScheduler {
  readonly stages = new Map<string, FakeStage>();
  readonly tokens = new Map<Token, { readonly stage: FakeStage; readonly attempt: FakeAttempt }>();

  apply(fact: Fact): void {
    switch (fact.kind) {
      case 'stage-added':
        this.stages.set(keyOf(fact.at), {
          at: fact.at,
          attempts: [],
          canceledBy: undefined,
          ended: undefined,
        });
        return;
      case 'leased': {
        const stage = this.stages.get(keyOf(fact.at))!;
        const attempt: FakeAttempt = {
          token: fact.token,
          number: stage.attempts.length + 1,
          phase: 'leased',
          hasStarted: false,
          end: undefined,
        };
        stage.attempts.push(attempt);
        this.tokens.set(fact.token, { stage, attempt });
        return;
      }
      case 'started': {
        const { attempt } = this.tokens.get(fact.token)!;
        attempt.phase = 'running';
        attempt.hasStarted = true;
        return;
      }
      case 'lost':
        this.tokens.get(fact.token)!.attempt.phase = 'lost';
        return;
      case 'finished': {
        const { attempt } = this.tokens.get(fact.token)!;
        attempt.phase = 'finished';
        attempt.end = fact.end;
        return;
      }
      case 'cancel-asked':
        for (const stage of this.stages.values()) if (stage.at.run === fact.run) stage.canceledBy = fact.by;
        return;
      case 'stage-ended':
        this.stages.get(keyOf(fact.at))!.ended = fact.status;
        return;
    }
  }

  /** A newer attempt was leased, or its stage has ended: what it reports is not taken. */
  isOvertaken(token: Token): boolean {
    const found = this.tokens.get(token);
    return (
      found === undefined || found.stage.ended !== undefined || found.stage.attempts.at(-1) !== found.attempt
    );
  }

  /** An agent is thought to have it. When none is, delivery alone keeps it from being leased again. */
  isHeld({ attempts }: FakeStage): boolean {
    const phase = attempts.at(-1)?.phase;
    return phase === 'leased' || phase === 'running';
  }

  hasBegun({ attempts }: FakeStage): boolean {
    return attempts.some(({ hasStarted }) => hasStarted);
  }

  sight(at: StageRef): StageSight | undefined {
    const stage = this.stages.get(keyOf(at));
    if (stage === undefined) return undefined;
    const begun = stage.attempts.find(({ hasStarted }) => hasStarted);
    if (begun !== undefined) {
      const { number: attempt, token } = begun;
      if (begun.end !== undefined) return { kind: 'finished', attempt, token, end: begun.end };
      return begun.phase === 'lost'
        ? { kind: 'lost', attempt, token, message: 'no heartbeat' }
        : { kind: 'started', attempt, token };
    }
    if (stage.ended === undefined) {
      return stage.canceledBy === undefined
        ? { kind: 'waiting' }
        : { kind: 'waiting', canceledBy: stage.canceledBy };
    }
    return stage.canceledBy === undefined
      ? { kind: 'ended', status: stage.ended }
      : { kind: 'ended', status: stage.ended, failure: { kind: 'canceled', by: stage.canceledBy } };
  }
}
