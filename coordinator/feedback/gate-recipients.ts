/**
 * Who is told of what a gate did: of an ejection always the lander, of a gate that stands still and of a push past it those
 * who look after the project; all of it goes to the project's webhooks too, for whoever listens there. Pure.
 */
import type { Project } from '../../shared/model/project.js';
import { domainOfMail, parseMailAddress, type MailAddress } from '../../shared/model/mail-address.js';
import type { GateNotice } from '../gate/state.js';
import type { People } from './people.js';
import { mailOfAuthor, type Recipients } from './recipients.js';
import { targetKey, type Target } from './target.js';

export interface GatePeople extends People {
  /** Names of admins who may see the project. */
  maintainers(): readonly string[];
}

export function gateRecipients(notice: GateNotice, project: Project, people: GatePeople): Recipients {
  const targets = new Map<string, Target>();
  const dropped: { readonly target: string | undefined; readonly reason: string }[] = [];
  const add = (target: Target): void => {
    const key = targetKey(target);
    if (!targets.has(key)) targets.set(key, target);
  };
  const addUser = (name: string, because: string): boolean => {
    const [address] = people.addressesOf(name);
    if (address !== undefined) add({ kind: 'mail', address, because });
    return address !== undefined;
  };
  if (notice.kind === 'ejected') {
    const { by, author } = notice.entry;
    // Whom a push names need be no user: then it is the author, if mail may go there.
    if (!addUser(by, 'you had it queued')) {
      const address = parseMailAddress(mailOfAuthor(by) ?? mailOfAuthor(author) ?? '');
      if (address === undefined) dropped.push({ target: undefined, reason: `${by} has no mail address` });
      else if (mayGoTo(address, project, people))
        add({ kind: 'mail', address, because: 'the change is yours' });
      else {
        dropped.push({
          target: `mail:${address}`,
          reason: `${address} is not the address of a known user, and the project allows no mail to ${domainOfMail(address)}`,
        });
      }
    }
  } else {
    for (const name of people.maintainers()) addUser(name, 'you look after this project');
  }
  for (const { name } of project.settings.webhooks) add({ kind: 'webhook', name });
  return { targets: [...targets.values()], dropped };
}

const mayGoTo = (address: MailAddress, { settings }: Project, people: People): boolean =>
  people.ownerOf(address) !== undefined || settings.mailDomains.includes(domainOfMail(address));
