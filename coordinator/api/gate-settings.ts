/** What a project says of its gate: as messages have it, and checked. */
import { isBranchName } from '../../shared/git/refs.js';
import { defaultGateSettings, type GateSettings } from '../../shared/model/gate.js';
import type { ProjectSettings } from '../../shared/model/project.js';
import type {
  GateSettings as GateMessage,
  GateSettings__Output,
} from '../../shared/wire/gen/gantry/v1/GateSettings.js';
import { ApiError } from './api-error.js';

type Gate = Partial<GateSettings>;

/** More at once would merge and test what most likely never stands behind each other. */
const mostDepth = 20;
const leastHangMs = 60_000;
const mostHangMs = 7 * 24 * 60 * 60_000;

export function gateSettingsMessage(gate: Gate): GateMessage {
  const { require, method, depth, hangLimitMs, retries, seesSecrets, targets } = {
    ...defaultGateSettings,
    ...gate,
  };
  return { require: [...require], method, depth, hangLimitMs, retries, seesSecrets, targets: [...targets] };
}

/** Undefined: the request says nothing of it. */
export function gateChangeFrom(message: GateSettings__Output | null | undefined): Gate | 'none' | undefined {
  if (message === null || message === undefined) return undefined;
  if (message.none === true) return 'none';
  const { method, depth, hangLimitMs, retries, seesSecrets } = message;
  if (method !== undefined && method !== 'merge' && method !== 'squash') {
    throw new ApiError('invalid', `gate method ${JSON.stringify(method)}: expected merge or squash`);
  }
  return {
    ...(message.setRequire === true ? { require: message.require ?? [] } : {}),
    ...(message.setTargets === true ? { targets: message.targets ?? [] } : {}),
    ...(method === undefined ? {} : { method }),
    ...(depth === undefined ? {} : { depth }),
    ...(hangLimitMs === undefined ? {} : { hangLimitMs }),
    ...(retries === undefined ? {} : { retries }),
    ...(seesSecrets === undefined ? {} : { seesSecrets }),
  };
}

/** Throws invalid. */
export function changedGate(
  before: Gate | undefined,
  change: Gate | 'none' | undefined,
): Pick<ProjectSettings, 'gate'> {
  if (change === 'none') return {};
  if (change === undefined) return before === undefined ? {} : { gate: before };
  const gate = { ...before, ...change };
  check(gate);
  return { gate };
}

function check({
  require = [],
  targets = [],
  depth = 1,
  hangLimitMs = leastHangMs,
  retries = 0,
}: Gate): void {
  const blank = require.find((stage) => stage.trim() === '' || stage.length > 200);
  if (blank !== undefined) throw wrong(`gate.require ${JSON.stringify(blank)}: expected names of stages`);
  const target = targets.find((branch) => !isBranchName(branch));
  if (target !== undefined) throw wrong(`gate target ${JSON.stringify(target)}: this is no branch’s name`);
  if (depth < 1 || depth > mostDepth) throw wrong(`gate depth ${depth}: expected 1 to ${mostDepth}`);
  if (hangLimitMs < leastHangMs || hangLimitMs > mostHangMs) {
    throw wrong(`gate hang limit ${hangLimitMs} ms: expected a minute to seven days`);
  }
  if (retries > 10) throw wrong(`gate retries ${retries}: expected 0 to 10`);
}

const wrong = (message: string): ApiError => new ApiError('invalid', message);
