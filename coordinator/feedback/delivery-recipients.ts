/**
 * Who is told of a deployment: of an approval that is wanted those who may give it, of the rest whom the environment names; of
 * what came out badly whoever asked for it too. Pure. The environment's list is set by an admin, so mail goes to any address on it.
 */
import type { DeploymentEnd } from '../../shared/model/deployment.js';
import type { EnvironmentSettings } from '../../shared/model/environment.js';
import { parseMailAddress } from '../../shared/model/mail-address.js';
import type { Project } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { Chore, DeliveryNotice } from '../delivery/state.js';
import type { People } from './people.js';
import type { Recipients } from './recipients.js';
import { targetKey, type Target } from './target.js';

export interface DeliveryPeople extends People {
  /** Names of users who may deploy in the project. */
  deployers(): readonly string[];
}

export interface DeliveryInvolved {
  readonly what: Chore;
  readonly settings: Pick<EnvironmentSettings, 'notify'>;
  readonly project: Pick<Project, 'settings'>;
}

export function deliveryRecipients(involved: DeliveryInvolved, people: DeliveryPeople): Recipients {
  const { what, settings, project } = involved;
  const { notice, facts } = what;
  const list = new TargetList(people);
  if (notice.kind === 'approval-wanted') {
    const isNamed = notice.approvers.length > 0;
    for (const name of isNamed ? notice.approvers : people.deployers()) {
      list.addUser(name, isNamed ? 'the environment names you as approver' : 'you may approve it');
    }
    return list;
  }
  for (const named of settings.notify) {
    if (named.startsWith('webhook:')) list.addWebhook(named.slice('webhook:'.length), project);
    else list.addAddress(named, 'the environment names you');
  }
  // Of a push it need be no user.
  if (isBad(notice) && people.addressesOf(facts.by).length > 0) list.addUser(facts.by, 'you asked for it');
  return list;
}

function isBad(notice: DeliveryNotice): boolean {
  if (notice.kind === 'unknown') return true;
  return notice.kind === 'ended' && isFailed(notice.end);
}

const isFailed = ({ kind }: DeploymentEnd): boolean => kind === 'failed' || kind === 'verify-failed';

class TargetList implements Recipients {
  readonly #targets = new Map<string, Target>();
  readonly dropped: { readonly target: string | undefined; readonly reason: string }[] = [];
  readonly #people: People;

  constructor(people: People) {
    this.#people = people;
  }

  get targets(): readonly Target[] {
    return [...this.#targets.values()];
  }

  addUser(name: string, because: string): void {
    const [address] = this.#people.addressesOf(name);
    if (address !== undefined) this.#add({ kind: 'mail', address, because });
    else this.dropped.push({ target: undefined, reason: `${quoted(name)} is no user with a mail address` });
  }

  addAddress(text: string, because: string): void {
    const address = parseMailAddress(text);
    if (address !== undefined) this.#add({ kind: 'mail', address, because });
    else this.dropped.push({ target: undefined, reason: `${quoted(text)} is no mail address` });
  }

  addWebhook(name: string, { settings }: Pick<Project, 'settings'>): void {
    if (settings.webhooks.some((webhook) => webhook.name === name)) this.#add({ kind: 'webhook', name });
    else
      this.dropped.push({ target: `webhook:${name}`, reason: `the project has no webhook ${quoted(name)}` });
  }

  #add(target: Target): void {
    const key = targetKey(target);
    if (!this.#targets.has(key)) this.#targets.set(key, target);
  }
}

const quoted = (text: string): string => JSON.stringify(Array.from(printable(text)).slice(0, 100).join(''));
