/** What one can type next, by the state that an environment is in: command and what it does. */
import { shortRunId } from '../../../shared/model/ids.js';
import { printable } from '../../../shared/text/terminal-text.js';
import type { ShownEnvironment } from './environment-from-wire.js';

export function nextCommands(environment: ShownEnvironment): readonly (readonly [string, string])[] {
  const { status, open, current, holds, history } = environment;
  const name = printable(environment.environment);
  const next: [string, string][] = [];
  if (open.some((deployment) => deployment.status === 'approval')) {
    next.push([`gantry approve ${name}`, 'lets it go there']);
    next.push([`gantry reject ${name} --reason TEXT`, 'keeps it out']);
  }
  if (status === 'unknown') {
    next.push([`gantry environments settle ${name} --good`, 'it came out well']);
    next.push([`gantry environments settle ${name} --bad`, 'it did not']);
  }
  const busy = open.find(
    (deployment) => deployment.status === 'running' || deployment.status === 'verifying',
  );
  if (busy !== undefined) next.push([`gantry watch ${shortRunId(busy.run)}`, 'follows it']);
  if (holds.length > 0) next.push([`gantry environments resume ${name}`, 'lets deployments go there again']);
  const isBad = current?.status === 'failed';
  if (isBad && history.some((deployment) => deployment.status === 'verified')) {
    next.push([`gantry rollback ${name}`, 'goes back to what was verified']);
  }
  return next;
}
