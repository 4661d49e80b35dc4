/**
 * A signed delivery about a project's refs. It is answered once it is durable; until then the sender keeps it. Unknown
 * projects and wrong signatures look the same from outside.
 */
import type { Logger } from '../../shared/log.js';
import { parseProjectId, type ProjectId, type RunId } from '../../shared/model/ids.js';
import type { MoveSource, ReportedMove } from '../../shared/model/project.js';
import { isSignatureGood, signatureSeconds } from '../../shared/webhook-signature.js';
import { NotLeading } from '../coordinator.js';
import { parseDelivery } from './delivery.js';
import { isWatched } from './moves.js';
import { reportedMove } from './push-identity.js';

export interface WebhookRequest {
  /** Last part of the URL's path. */
  readonly project: string;
  readonly timestamp: string;
  readonly signature: string;
  readonly delivery: string;
  readonly body: Buffer;
}

export interface WebhookAnswer {
  readonly status: 202 | 400 | 401 | 409 | 503;
  readonly body: { readonly message: string; readonly runs?: readonly RunId[] };
}

export interface WebhookOptions {
  /** The secret that signs deliveries of the project; undefined: no such project. */
  readonly secret: (project: ProjectId) => Promise<string | undefined>;
  readonly report: (project: ProjectId, source: MoveSource, moves: readonly ReportedMove[]) => Promise<Taken>;
  readonly log: Logger;
}

export type Taken =
  | { readonly kind: 'moved'; readonly runs: readonly RunId[] }
  /** As it was before: the same delivery again. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'too-large'; readonly message: string };

const deliveryPattern = /^[A-Za-z0-9][A-Za-z0-9_:-]{7,127}$/;
/** An unknown project costs what a known one does. */
const noSecret = 'there is no such project, and this is as long as a secret';

const answer = (status: WebhookAnswer['status'], message: string): WebhookAnswer => ({
  status,
  body: { message },
});

export async function takeDelivery(options: WebhookOptions, request: WebhookRequest): Promise<WebhookAnswer> {
  const project = parseProjectId(request.project);
  try {
    const secret = project === undefined ? undefined : await options.secret(project);
    const isGood = isSignatureGood(secret ?? noSecret, request, Date.now() / 1000);
    if (!isGood || secret === undefined || project === undefined) {
      return answer(
        401,
        `the signature is missing, wrong, or older than ${signatureSeconds} seconds: see \`gantry projects hook\``,
      );
    }
    if (!deliveryPattern.test(request.delivery)) {
      return answer(400, 'X-Gantry-Delivery: expected an id of 8 to 128 letters, digits, _ : -');
    }
    const delivery = parseDelivery(request.body.toString('utf8'));
    if (typeof delivery === 'string') return answer(400, delivery);
    const source: MoveSource = {
      kind: 'webhook',
      delivery: request.delivery,
      ...(delivery.pusher === undefined ? {} : { pusher: delivery.pusher }),
    };
    const moves = delivery.moves
      .filter(({ ref, old, new: now }) => isWatched(ref) && (old ?? now) !== undefined)
      .map((move) => reportedMove(project, move));
    const taken = await options.report(project, source, moves);
    if (taken.kind === 'refused') return answer(409, taken.message);
    if (taken.kind === 'too-large')
      return answer(400, `${taken.message}: tell of them in several deliveries`);
    const word = taken.runs.length === 1 ? 'run' : 'runs';
    return { status: 202, body: { message: `${taken.runs.length} ${word} to come`, runs: taken.runs } };
  } catch (error) {
    if (!(error instanceof NotLeading)) options.log.error({ err: error }, 'a delivery could not be taken');
    return answer(503, 'it could not be made durable: send it again');
  }
}
